"""The sentops command."""
