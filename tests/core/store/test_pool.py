"""Opening connections: what works, and what is said when it does not."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from sentops_core.domain.errors import PlatformError, Unavailable
from sentops_core.store.pool import Connection, Pool, describe, open_pool, transaction
from tests.support.postgres import a_free_port, with_database

pytestmark = pytest.mark.pg


async def test_json_columns_are_python_values(connection: Connection) -> None:
    value = {"è": [1, 2.5, None, "a'\"\\"]}
    assert await connection.fetchval("SELECT $1::jsonb", value) == value


async def test_times_come_back_in_utc(connection: Connection) -> None:
    assert (await connection.fetchval("SELECT now()")).utcoffset() == timedelta(0)


async def test_a_transaction_is_rolled_back_on_error(pool: Pool) -> None:
    async def fail() -> None:
        async with transaction(pool) as connection:
            await connection.execute("CREATE TABLE gone (a int)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with transaction(pool) as connection:
        assert await connection.fetchval("SELECT to_regclass('gone')") is None


async def test_a_database_that_is_down_is_named_without_its_password() -> None:
    port = a_free_port()
    url = f"postgresql://someone:hidden-word@127.0.0.1:{port}/prediction"
    with pytest.raises(Unavailable) as caught:
        await open_pool(url, patience=timedelta(seconds=0.3))
    assert f"prediction on 127.0.0.1:{port}" in str(caught.value)
    assert "hidden-word" not in str(caught.value)


async def test_a_wrong_database_name_is_not_tried_again(postgres_server: str) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(PlatformError) as caught:
            await open_pool(
                with_database(postgres_server, "nowhere"), patience=timedelta(minutes=5)
            )
    assert caught.value.retry_after is None


async def test_a_pool_waits_for_a_database_that_is_starting(database_url: str) -> None:
    """Connections are refused at first; a forwarder opens the port a moment later."""
    port = a_free_port()
    host, _, real_port = database_url.rpartition("@")[2].partition("/")[0].partition(":")

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(host, int(real_port))

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                target.write(data)
            target.close()

        await asyncio.gather(copy(reader, there_writer), copy(there_reader, writer))

    late = database_url.replace(f":{real_port}/", f":{port}/")
    opening = asyncio.create_task(open_pool(late, patience=timedelta(seconds=10)))
    done, _ = await asyncio.wait([opening], timeout=0.15)
    assert not done
    server = await asyncio.start_server(forward, "127.0.0.1", port)
    opened = await opening
    assert await opened.fetchval("SELECT 1") == 1
    await opened.close()
    server.close()


async def test_a_connection_killed_in_a_transaction_is_unavailable(pool: Pool) -> None:
    with pytest.raises(Unavailable):
        async with transaction(pool) as connection:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")


async def test_a_defect_of_ours_is_not_called_an_outage(pool: Pool) -> None:
    with pytest.raises(asyncpg.DataError):
        async with transaction(pool) as connection:
            await connection.fetchval("SELECT $1::int", "no number")


def test_a_description_never_holds_the_password() -> None:
    assert describe("postgresql://a:b@db.example:7000/x") == "x on db.example:7000"
