"""A real PostgreSQL for tests: DATABASE_URL's server, or an embedded one started once per test process.

`database_url` is an empty, migrated database of the test's own; `connection` is a transaction that is rolled back.
"""

import asyncio
import os
import socket
import tempfile
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from sentops_core.store.embedded import EmbeddedPostgres
from sentops_core.store.migrate import migrate_url
from sentops_core.store.pool import Connection, Pool, open_connection, open_pool

# What tests write may be lost with the machine: no waiting for disks.
UNSAFE_AND_QUICK = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "autovacuum": "off",
}


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run_aside(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine from a plain fixture without touching the test's own event loop."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, work).result()


def with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server on which tests may create databases."""
    given = os.environ.get("DATABASE_URL")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="sentops-tests-") as folder:
        Path(folder).chmod(0o755)  # the server does not run as root
        server = EmbeddedPostgres(
            Path(folder) / "postgres",
            port=a_free_port(),
            password=uuid.uuid4().hex,
            database="postgres",
            settings=UNSAFE_AND_QUICK,
        )
        server.start()
        try:
            yield server.url
        finally:
            server.remove()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> Iterator[str]:
    """The name of a migrated database that others are copied from; nobody may stay connected to it."""
    name = f"sentops_template_{uuid.uuid4().hex[:12]}"
    run_aside(administer(postgres_server, f"CREATE DATABASE {name}"))
    run_aside(migrate_url(with_database(postgres_server, name)))
    yield name
    run_aside(administer(postgres_server, f"DROP DATABASE {name} WITH (FORCE)"))


def copied_database(server: str, template: str) -> Iterator[str]:
    """The URL of a new database like the template; dropped when the generator goes on."""
    name = f"sentops_test_{uuid.uuid4().hex[:12]}"
    run_aside(administer(server, f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield with_database(server, name)
    run_aside(administer(server, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def empty_database_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """A database without our schema."""
    yield from copied_database(postgres_server, "template1")


@pytest.fixture
def database_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """A migrated database of this test's own; commits are fine, it is dropped after."""
    yield from copied_database(postgres_server, postgres_template)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database_url, max_size=4)
    try:
        yield opened
    finally:
        await opened.close()


@pytest.fixture(scope="session")
def shared_database_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """One migrated database that all `connection` tests share, so none may commit."""
    yield from copied_database(postgres_server, postgres_template)


@pytest.fixture
async def connection(shared_database_url: str) -> AsyncIterator[Connection]:
    """A connection in a transaction that is rolled back; much quicker than `database_url`."""
    opened = await open_connection(shared_database_url)
    transaction = opened.transaction()
    await transaction.start()
    try:
        yield opened
    finally:
        await transaction.rollback()
        await opened.close()


async def administer(url: str, statement: str) -> None:
    opened = await open_connection(url)
    try:
        await opened.execute(statement)
    finally:
        await opened.close()
