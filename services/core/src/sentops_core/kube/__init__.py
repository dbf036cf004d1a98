"""Kubernetes, as the operator and the trainer API see it (filled by the operator)."""
