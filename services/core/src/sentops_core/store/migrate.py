"""Plain SQL migrations, forward only: `migrations/NNNN_name.sql`, applied in order, each in its own transaction.

`python -m sentops_core.store.migrate` applies them to SENTOPS_DATABASE_URL; programs call `require_current`.

A file that only adds may say so in its head, `-- works-with: 2`: programs that know schema 2 or a later one go on
working on the schema it makes, so a failed deployment can be rolled back to them. They cannot read the file, so the
ledger remembers it. Without that line older programs refuse to start on it.
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
_STATEMENT = re.compile(r"^--\s*works[-_ ]?with\b(.*)$", re.IGNORECASE)
_OLDEST = re.compile(r"^: *([1-9]\d*) *$")
_LOCK = 5_340_021_118  # any constant of ours: two programs migrating at once take turns
_PAUSE = 2.0  # seconds between questions to a database that is away

_CREATE_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version     integer PRIMARY KEY,
    name        text        NOT NULL,
    checksum    text        NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now(),
    works_with  integer
)
"""
_LEDGER_EXISTS = "SELECT to_regclass('schema_migrations') IS NOT NULL"
# Ledgers made before the column: asked first, as even ALTER ... IF NOT EXISTS waits for every reader (a backup is one).
_LACKS_WORKS_WITH = """
SELECT NOT EXISTS (
    SELECT FROM pg_attribute
     WHERE attrelid = 'schema_migrations'::regclass AND attname = 'works_with' AND NOT attisdropped
)
"""
_ADD_WORKS_WITH = "ALTER TABLE schema_migrations ADD COLUMN works_with integer"
# By way of jsonb, which has no field instead of failing where the ledger has no such column yet.
_APPLIED = """
SELECT version, checksum, (to_jsonb(schema_migrations) ->> 'works_with')::integer AS works_with
  FROM schema_migrations
 ORDER BY version
"""
_RECORD = """
INSERT INTO schema_migrations (version, name, checksum, works_with) VALUES ($1, $2, $3, $4)
"""


@dataclass(frozen=True)
class Migration:
    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def works_with(self) -> int | None:
        """The oldest schema whose programs work on the one this makes; None where the file does not say."""
        for line in self.sql.splitlines():
            if line.strip() and not line.startswith("--"):
                return None  # only the head of the file counts
            stated = _STATEMENT.match(line)
            if stated is None:
                continue
            oldest = _OLDEST.match(stated[1])
            if oldest is None or int(oldest[1]) >= self.version:
                raise PlatformError(
                    f"Migration {self.version:04} ({self.name}) says {line!r}: write `-- works-with: N`, N being "
                    f"the oldest schema whose programs work on it, from 1 to {self.version - 1}."
                )
            return int(oldest[1])
        return None


@dataclass(frozen=True)
class Applied:
    """What the ledger remembers of a migration."""

    checksum: str
    works_with: int | None = None


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


def pending(known: Sequence[Migration], applied: Mapping[int, Applied]) -> tuple[Migration, ...]:
    """What remains to be applied: nothing on a newer database that says it works with these programs.

    Refuses any other newer database, a changed file and a file that came too late.
    """
    ours = max((migration.version for migration in known), default=0)
    newest = max(applied, default=0)
    unknown = sorted(set(applied) - {migration.version for migration in known})
    if refusing := [version for version in unknown if not _works(applied[version], version, ours)]:
        raise PlatformError(
            f"The database is at schema {newest}, but these programs know {ours} "
            f"(unknown: {refusing[0]}): upgrade the programs; a schema never goes back."
        )
    for migration in known:
        mark = applied.get(migration.version)
        if mark is not None and mark.checksum != migration.checksum:
            raise PlatformError(
                f"Migration {migration.version:04} ({migration.name}) was changed after it was applied: "
                "restore the file and put the change into a new one."
            )
        if mark is None and migration.version < newest:
            raise PlatformError(
                f"Migration {migration.version:04} ({migration.name}) is older than the database's schema "
                f"{newest} but was never applied: give it the next free number."
            )
    return tuple(migration for migration in known if migration.version not in applied)


def _works(unknown: Applied, version: int, ours: int) -> bool:
    """Whether programs whose newest schema is `ours` work on what a migration unknown to them made."""
    return version > ours and unknown.works_with is not None and unknown.works_with <= ours


async def migrate(connection: Connection, known: Sequence[Migration] | None = None) -> list[str]:
    """Bring the schema up to date; the names applied now. A failing file leaves the ones before it in place."""
    known = known_migrations() if known is None else known
    with database_errors():
        # Another program's migrations may take longer than a statement is normally allowed to.
        await connection.execute("SET statement_timeout = '15min'")
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        try:
            await connection.execute(_CREATE_LEDGER)
            if await connection.fetchval(_LACKS_WORKS_WITH):
                await connection.execute(_ADD_WORKS_WITH)
            names = []
            for migration in pending(known, await _applied(connection)):
                async with connection.transaction():
                    await connection.execute(migration.sql)
                    await connection.execute(
                        _RECORD,
                        migration.version,
                        migration.name,
                        migration.checksum,
                        migration.works_with,
                    )
                names.append(f"{migration.version:04}_{migration.name}")
                log.info("migration_applied", version=migration.version, name=migration.name)
            return names
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)
            await connection.execute("RESET statement_timeout")


async def require_current(connection: Connection, known: Sequence[Migration] | None = None) -> None:
    """Refuse to start on a schema that is neither ours nor says it works with us; which side to upgrade."""
    known = known_migrations() if known is None else known
    with database_errors():
        has_ledger = await connection.fetchval(_LEDGER_EXISTS)
        missing = pending(known, await _applied(connection) if has_ledger else {})
    if missing:
        raise Unavailable(
            f"The database lacks {len(missing)} of our migrations (next: {missing[0].version:04} "
            f"{missing[0].name}): run `python -m sentops_core.store.migrate`, or `sentops up`."
        )


async def _applied(connection: Connection) -> dict[int, Applied]:
    return {
        row["version"]: Applied(row["checksum"], row["works_with"])
        for row in await connection.fetch(_APPLIED)
    }


async def migrate_url(url: str, *, patience: timedelta = timedelta()) -> list[str]:
    """`migrate` over a connection of its own; a database that is away is asked again until `patience` ends."""
    connection = await connected(url, patience=patience, application_name="sentops migrate")
    try:
        return await migrate(connection)
    finally:
        await connection.close()


async def connected(url: str, *, patience: timedelta, application_name: str) -> Connection:
    """A connection to a database that may still be starting."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience.total_seconds()
    while True:
        try:
            return await open_connection(url, application_name=application_name)
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
