"""Forward-only migrations: applied once, in order, by one program at a time."""

import asyncio
import os
import subprocess
import sys
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from sentops_core.domain.errors import PlatformError, Unavailable
from sentops_core.store.migrate import (
    Applied,
    Migration,
    known_migrations,
    migrate,
    migrate_url,
    pending,
    require_current,
)
from sentops_core.store.pool import open_connection
from tests.support.cable import a_cable
from tests.support.postgres import a_free_port

FIRST = Migration(1, "first", "CREATE TABLE one (a int)")
SECOND = Migration(2, "second", "CREATE TABLE two (a int)")


def applied(*migrations: Migration) -> dict[int, Applied]:
    return {one.version: Applied(one.checksum, one.works_with) for one in migrations}


def adding(version: int, *, works_with: int | None) -> Migration:
    """A migration that only adds a table, and may say since which schema programs work on it."""
    head = f"-- More room.\n-- works-with: {works_with}\n" if works_with is not None else ""
    return Migration(version, f"adds_{version}", f"{head}CREATE TABLE added_{version} (a int)")


def test_what_is_applied_is_not_applied_again() -> None:
    assert pending([FIRST, SECOND], applied(FIRST)) == (SECOND,)
    assert pending([FIRST, SECOND], applied(FIRST, SECOND)) == ()


def test_a_changed_applied_file_is_refused() -> None:
    with pytest.raises(PlatformError, match=r"0001.*was changed"):
        pending([Migration(1, "first", "CREATE TABLE other (a int)")], applied(FIRST))


def test_a_newer_database_asks_to_upgrade_the_programs() -> None:
    with pytest.raises(PlatformError, match="upgrade the programs"):
        pending([FIRST], applied(FIRST, SECOND))


def test_a_migration_that_came_too_late_is_refused() -> None:
    with pytest.raises(PlatformError, match="next free number"):
        pending([FIRST, SECOND], applied(SECOND))


def test_our_migrations_are_numbered_without_gaps() -> None:
    versions = [migration.version for migration in known_migrations()]
    assert versions == list(range(1, len(versions) + 1))


def test_shipped_migrations_say_what_works_with_them_as_it_is_read() -> None:
    for migration in known_migrations():
        assert ("works-with" in migration.sql) == (migration.works_with is not None)


@pytest.mark.parametrize(
    ("newer", "works"),
    [
        ([adding(3, works_with=2)], True),
        ([adding(3, works_with=1)], True),
        ([adding(3, works_with=None)], False),
        ([adding(3, works_with=2), adding(4, works_with=3)], False),
        ([adding(3, works_with=2), adding(4, works_with=2)], True),
        ([adding(3, works_with=None), adding(4, works_with=2)], False),
    ],
)
def test_older_programs_work_on_a_newer_schema_if_every_step_to_it_says_so(
    newer: list[Migration], works: bool
) -> None:
    database = applied(FIRST, SECOND, *newer)
    if works:
        assert pending([FIRST, SECOND], database) == ()
    else:
        with pytest.raises(PlatformError, match="a schema never goes back"):
            pending([FIRST, SECOND], database)


def test_a_changed_file_is_refused_on_a_newer_schema_too() -> None:
    changed = Migration(2, "second", "CREATE TABLE other (a int)")
    with pytest.raises(PlatformError, match=r"0002.*was changed"):
        pending([FIRST, changed], applied(FIRST, SECOND, adding(3, works_with=1)))


def test_a_branch_that_the_programs_do_not_know_is_refused_whatever_it_says() -> None:
    third = adding(3, works_with=1)
    with pytest.raises(PlatformError, match=r"unknown: 2\)"):
        pending([FIRST, third], applied(FIRST, adding(2, works_with=1), third))


@pytest.mark.parametrize(
    "head", ["-- works-with: 3", "-- works-with: 0", "-- works with 2", "-- works-with: 1 or 2"]
)
def test_a_statement_that_cannot_be_meant_is_refused(head: str) -> None:
    with pytest.raises(PlatformError, match="from 1 to 2"):
        assert Migration(3, "wrong", f"{head}\nSELECT 1").works_with


def test_only_the_head_of_a_file_states_anything() -> None:
    assert Migration(3, "x", "\n-- Why.\n-- works-with: 1\nSELECT 1").works_with == 1
    assert Migration(3, "x", "SELECT 1;\n-- works-with: 1\n").works_with is None


@pytest.mark.pg
async def test_two_programs_migrating_at_once_take_turns(empty_database_url: str) -> None:
    names = [f"{one.version:04}_{one.name}" for one in known_migrations()]
    answers = await asyncio.gather(*(migrate_url(empty_database_url) for _ in range(3)))
    assert sorted(answers) == [[], [], names]


@pytest.mark.pg
async def test_a_failing_migration_keeps_those_before_and_nothing_of_itself(
    empty_database_url: str,
) -> None:
    broken = Migration(2, "broken", "CREATE TABLE half (a int); SELECT 1/0")
    connection = await open_connection(empty_database_url)
    with pytest.raises(Exception, match="division by zero"):
        await migrate(connection, [FIRST, broken])
    assert await connection.fetchval("SELECT to_regclass('one')") is not None
    assert await connection.fetchval("SELECT to_regclass('half')") is None
    assert await migrate(connection, [FIRST, SECOND]) == ["0002_second"]
    await connection.close()


@pytest.mark.pg
async def test_programs_refuse_a_schema_that_is_behind(empty_database_url: str) -> None:
    connection = await open_connection(empty_database_url)
    with pytest.raises(Unavailable, match="migrate"):
        await require_current(connection)
    await migrate(connection)
    await require_current(connection)
    await connection.close()


@pytest.mark.pg
async def test_programs_refuse_a_schema_that_is_ahead(database_url: str) -> None:
    connection = await open_connection(database_url)
    await connection.execute("INSERT INTO schema_migrations VALUES (9000, 'later', 'x')")
    with pytest.raises(PlatformError, match="upgrade the programs") as caught:
        await require_current(connection)
    assert caught.value.retry_after is None
    await connection.close()


@pytest.mark.pg
async def test_after_a_roll_back_older_programs_start_on_a_schema_that_works_with_them(
    empty_database_url: str,
) -> None:
    older, third = [FIRST, SECOND], adding(3, works_with=2)
    connection = await open_connection(empty_database_url)
    await migrate(connection, older)
    await migrate(connection, [*older, third])
    await require_current(connection, [*older, third])
    await require_current(connection, older)
    assert await migrate(connection, older) == []
    with pytest.raises(PlatformError, match="upgrade the programs"):
        await require_current(connection, [FIRST])
    with pytest.raises(PlatformError, match="upgrade the programs"):
        await migrate(connection, [FIRST])
    await migrate(connection, [*older, third, adding(4, works_with=None)])
    for programs in (older, [*older, third]):
        with pytest.raises(PlatformError, match="a schema never goes back"):
            await require_current(connection, programs)
    await connection.close()


@pytest.mark.pg
async def test_a_ledger_made_before_the_statement_is_read_and_then_completed(
    empty_database_url: str,
) -> None:
    connection = await open_connection(empty_database_url)
    await migrate(connection, [FIRST])
    await connection.execute("ALTER TABLE schema_migrations DROP COLUMN works_with")
    await require_current(connection, [FIRST])
    assert await migrate(connection, [FIRST, adding(2, works_with=1)]) == ["0002_adds_2"]
    await require_current(connection, [FIRST])
    assert await connection.fetch("SELECT version, works_with FROM schema_migrations") == [
        (1, None),
        (2, 1),
    ]
    await connection.close()


@pytest.mark.pg
async def test_migrating_waits_for_no_reader_when_nothing_is_to_be_done(database_url: str) -> None:
    """A backup reads every table for minutes, and programs start meanwhile."""
    backup = await open_connection(database_url)
    async with backup.transaction():
        await backup.execute("SELECT FROM schema_migrations")
        async with asyncio.timeout(10):
            assert await migrate_url(database_url) == []
    await backup.close()


def run_command(*options: str, **env: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "SENTOPS_DATABASE_URL"}
    return subprocess.run(
        [sys.executable, "-m", "sentops_core.store.migrate", *options],
        env=kept | env,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.pg
def test_the_command_migrates_and_a_second_time_does_nothing(empty_database_url: str) -> None:
    first = run_command(SENTOPS_DATABASE_URL=empty_database_url)
    assert first.returncode == 0, first.stderr
    assert "migration_applied" in first.stderr
    again = run_command(SENTOPS_DATABASE_URL=empty_database_url)
    assert again.returncode == 0
    assert "migration_applied" not in again.stderr


def test_the_command_without_a_database_says_what_to_set() -> None:
    done = run_command()
    assert done.returncode == 1
    assert "SENTOPS_DATABASE_URL" in done.stderr


@pytest.mark.pg
async def test_a_database_that_comes_up_late_is_waited_for(empty_database_url: str) -> None:
    address = urlsplit(empty_database_url)
    assert address.hostname
    port = a_free_port()
    user, _, _ = address.netloc.rpartition("@")
    late = address._replace(netloc=f"{user}@127.0.0.1:{port}").geturl()
    migrating = asyncio.create_task(migrate_url(late, patience=timedelta(seconds=60)))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await asyncio.shield(migrating)
    async with a_cable(address.hostname, address.port or 5432, at=port):
        assert "0001_initial" in await migrating


def test_waiting_for_a_database_ends_with_what_to_do() -> None:
    nobody = f"postgresql://u:secret@127.0.0.1:{a_free_port()}/prediction"
    done = run_command("--wait", "0.1", SENTOPS_DATABASE_URL=nobody)
    assert done.returncode == 1
    assert "does not answer" in done.stderr
    assert "secret" not in done.stderr
