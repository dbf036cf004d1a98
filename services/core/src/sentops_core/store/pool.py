"""Connections to PostgreSQL: one way to open, to begin a transaction, and to say that the database is away."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from pydantic_core import from_json, to_json

from sentops_core.domain.errors import PlatformError, Unavailable

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection | PoolConnectionProxy
    Pool = asyncpg.Pool

_SERVER_SETTINGS = {
    "timezone": "UTC",
    "statement_timeout": "30s",  # our statements take milliseconds; a longer one is a defect or a lock
    "idle_in_transaction_session_timeout": "60s",
}
_REFUSED = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ClientConfigurationError,
)
_AWAY = (
    ConnectionError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.QueryCanceledError,
)


def describe(url: str) -> str:
    """The database of a URL without its password, for messages: `prediction on 127.0.0.1:5555`."""
    parts = urlsplit(url)
    return f"{parts.path.lstrip('/') or '?'} on {parts.hostname or '?'}:{parts.port or 5432}"


async def open_connection(url: str, *, application_name: str = "sentops") -> Connection:
    """One connection with our settings and codecs; for migrations and tools."""
    try:
        connection = await asyncpg.connect(
            url,
            timeout=10,
            server_settings={**_SERVER_SETTINGS, "application_name": application_name},
        )
    except _REFUSED as error:
        raise _refused(url, error) from error
    except (OSError, *_AWAY) as error:
        raise _no_answer(url, error) from error
    await prepare(connection)
    return connection


async def open_pool(
    url: str,
    *,
    min_size: int = 1,
    max_size: int = 10,
    application_name: str = "sentops",
    patience: timedelta = timedelta(seconds=10),
) -> Pool:
    """A pool whose first connection is proven. Unavailable when nothing answers within `patience`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience.total_seconds()
    pause = 0.1
    while True:
        try:
            return await asyncpg.create_pool(
                url,
                min_size=min_size,
                max_size=max_size,
                init=prepare,
                timeout=10,
                command_timeout=35,  # past the server's own limit: a half-open connection
                server_settings={**_SERVER_SETTINGS, "application_name": application_name},
            )
        except _REFUSED as error:
            raise _refused(url, error) from error
        except (OSError, *_AWAY) as error:
            if loop.time() + pause > deadline:
                raise _no_answer(url, error) from error
        await asyncio.sleep(pause)
        pause = min(pause * 2, 1.0)


def _refused(url: str, error: Exception) -> PlatformError:
    return PlatformError(
        f"The database {describe(url)} refuses us ({error}); check user, password and name "
        "in the database URL."
    )


def _no_answer(url: str, error: Exception) -> Unavailable:
    return Unavailable(
        f"The database {describe(url)} does not answer ({str(error) or type(error).__name__}); "
        "start it, or check the database URL."
    )


async def prepare(connection: Connection) -> None:
    """Make jsonb columns Python values; binary, so that COPY takes them too."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + to_json(value),
        decoder=lambda data: from_json(data[1:]),
        format="binary",
    )


@contextmanager
def database_errors() -> Iterator[None]:
    """Say Unavailable when the database is away, overloaded or too slow; other errors are defects."""
    try:
        yield
    except _REFUSED as error:
        raise PlatformError(f"The database refuses us: {error}") from error
    except _AWAY as error:
        raise _away() from error
    except asyncpg.InterfaceError as error:
        if "clos" not in str(error):  # "connection is closed", "pool is closing"
            raise
        raise _away() from error


def _away() -> Unavailable:
    return Unavailable("The database does not answer just now; try again in a moment.")


@asynccontextmanager
async def session(pool: Pool) -> AsyncIterator[Connection]:
    """A connection outside of any transaction; locks of the session end with the block."""
    with database_errors():
        try:
            connection = await pool.acquire(timeout=10)
        except (
            OSError
        ) as error:  # wider than what may pass below: the body's own files are no database
            raise _away() from error
        try:
            yield connection
        finally:
            await pool.release(connection)


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """A connection inside a transaction: committed at the end, rolled back on any error."""
    async with session(pool) as connection, connection.transaction():
        yield connection
