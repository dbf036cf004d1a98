"""Plain SQL migrations, forward only: `migrations/NNNN_name.sql`, applied in order, each in its own transaction.

`python -m sentops_core.store.migrate` applies them to SENTOPS_DATABASE_URL; programs call `require_current`.
"""

import argparse
import asyncio
import hashlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files

import structlog

from sentops_core.domain.errors import PlatformError, Unavailable
from sentops_core.store.pool import Connection, database_errors, open_connection
from sentops_core.telemetry import configure_logging

log = structlog.get_logger()

_FILE_NAME = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
_LOCK = 5_340_021_118  # any constant of ours: two programs migrating at once take turns
_PAUSE = 2.0  # seconds between questions to a database that is away

_CREATE_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version     integer PRIMARY KEY,
    name        text        NOT NULL,
    checksum    text        NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
)
"""
_LEDGER_EXISTS = "SELECT to_regclass('schema_migrations') IS NOT NULL"
_APPLIED = "SELECT version, checksum FROM schema_migrations ORDER BY version"
_RECORD = "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)"


@dataclass(frozen=True)
class Migration:
    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def known_migrations() -> tuple[Migration, ...]:
    """The files shipped with this code, in order."""
    found = []
    for entry in files("sentops_core.store").joinpath("migrations").iterdir():
        if not entry.name.endswith(".sql"):
            continue
        match = _FILE_NAME.match(entry.name)
        if match is None:
            raise PlatformError(
                f"{entry.name} is no migration name: call it NNNN_what_it_does.sql."
            )
        found.append(Migration(int(match[1]), match[2], entry.read_text(encoding="utf-8")))
    return tuple(sorted(found, key=lambda migration: migration.version))


def pending(known: Sequence[Migration], applied: Mapping[int, str]) -> tuple[Migration, ...]:
    """What remains to be applied; refuses a newer database, a changed file and a file that came too late."""
    versions = {migration.version for migration in known}
    newest = max(applied, default=0)
    if unknown := sorted(set(applied) - versions):
        raise PlatformError(
            f"The database is at schema {newest}, but these programs know {max(versions, default=0)} "
            f"(unknown: {unknown[0]}): upgrade the programs; a schema never goes back."
        )
    for migration in known:
        checksum = applied.get(migration.version)
        if checksum is not None and checksum != migration.checksum:
            raise PlatformError(
                f"Migration {migration.version:04} ({migration.name}) was changed after it was applied: "
                "restore the file and put the change into a new one."
            )
        if checksum is None and migration.version < newest:
            raise PlatformError(
                f"Migration {migration.version:04} ({migration.name}) is older than the database's schema "
                f"{newest} but was never applied: give it the next free number."
            )
    return tuple(migration for migration in known if migration.version not in applied)


async def migrate(connection: Connection, known: Sequence[Migration] | None = None) -> list[str]:
    """Bring the schema up to date; the names applied now. A failing file leaves the ones before it in place."""
    known = known_migrations() if known is None else known
    with database_errors():
        # Another program's migrations may take longer than a statement is normally allowed to.
        await connection.execute("SET statement_timeout = '15min'")
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        try:
            await connection.execute(_CREATE_LEDGER)
            names = []
            for migration in pending(known, await _applied(connection)):
                async with connection.transaction():
                    await connection.execute(migration.sql)
                    await connection.execute(
                        _RECORD, migration.version, migration.name, migration.checksum
                    )
                names.append(f"{migration.version:04}_{migration.name}")
                log.info("migration_applied", version=migration.version, name=migration.name)
            return names
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)
            await connection.execute("RESET statement_timeout")


async def require_current(connection: Connection) -> None:
    """Refuse to start on a schema that is not exactly ours; the message says which side to upgrade."""
    with database_errors():
        has_ledger = await connection.fetchval(_LEDGER_EXISTS)
        missing = pending(known_migrations(), await _applied(connection) if has_ledger else {})
    if missing:
        raise Unavailable(
            f"The database lacks {len(missing)} of our migrations (next: {missing[0].version:04} "
            f"{missing[0].name}): run `python -m sentops_core.store.migrate`, or `sentops up`."
        )


async def _applied(connection: Connection) -> dict[int, str]:
    return {row["version"]: row["checksum"] for row in await connection.fetch(_APPLIED)}


async def migrate_url(url: str, *, patience: timedelta = timedelta()) -> list[str]:
    """`migrate` over a connection of its own; a database that is away is asked again until `patience` ends."""
    connection = await _connected(url, patience)
    try:
        return await migrate(connection)
    finally:
        await connection.close()


async def _connected(url: str, patience: timedelta) -> Connection:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience.total_seconds()
    while True:
        try:
            return await open_connection(url, application_name="sentops migrate")
        except Unavailable as error:
            if loop.time() + _PAUSE > deadline:
                raise
            log.info("database_awaited", reason=str(error))
        await asyncio.sleep(_PAUSE)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sentops_core.store.migrate")
    parser.add_argument(
        "--wait",
        type=float,
        default=0,
        metavar="SECONDS",
        help="how long to wait for a database that does not answer yet (%(default)s)",
    )
    patience = timedelta(seconds=parser.parse_args().wait)
    url = os.environ.get("SENTOPS_DATABASE_URL")
    if not url:
        sys.exit("Set SENTOPS_DATABASE_URL to the database to migrate (postgresql://...).")
    configure_logging("migrate")
    try:
        applied = asyncio.run(migrate_url(url, patience=patience))
    except PlatformError as error:
        sys.exit(str(error))
    log.info("schema_current", applied=len(applied))


if __name__ == "__main__":
    main()
