"""Backups of database, artefacts, datasets and Grafana's state; how to restore one, and which to keep."""
