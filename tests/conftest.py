"""Fixtures that any test may ask for; each family lives in its own module of tests/support."""

pytest_plugins = [
    "tests.support.browser",
    "tests.support.helm",
    "tests.support.postgres",
    "tests.support.mlflow_server",  # after the database that it needs
    "tests.support.seaweedfs",
]
