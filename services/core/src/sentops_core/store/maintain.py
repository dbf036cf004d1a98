"""The database's housekeeping: months of predictions made ahead, old ones dropped, dead sessions cleared.

The monitor runs it hourly. By hand: `python -m sentops_core.store.maintain` with SENTOPS_DATABASE_URL and, to drop
anything, SENTOPS_RETENTION_DAYS: the longest that predictions may be kept. An admin can choose less on the page Settings.
"""

import asyncio
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog

from sentops_core.domain.errors import InvalidInput, PlatformError
from sentops_core.domain.retention import Retention
from sentops_core.store.migrate import require_current
from sentops_core.store.pool import Connection, database_errors, open_connection
from sentops_core.store.predictions import Predictions
from sentops_core.store.quality_figures import thin_out_figures
from sentops_core.store.retention import RetentionTable
from sentops_core.store.tallies import Tallies
from sentops_core.store.users import Sessions
from sentops_core.telemetry import configure_logging

log = structlog.get_logger()

_KEEP_TALLIES = timedelta(days=40)  # longer than any window


@dataclass(frozen=True)
class Maintenance:
    """What was done; `postponed` when a long reader held a month that is due to go."""

    made: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    sessions: int = 0
    postponed: bool = False


async def maintain(
    connection: Connection, *, now: datetime, limit: timedelta | None
) -> Maintenance:
    """Do what is due; predictions go after `limit`, or sooner where an admin chose so; without both, never.

    Whole months go, so a row can live up to a month longer.
    """
    dropped: list[str] = []
    postponed = False
    table = RetentionTable(connection)
    with database_errors():
        async with connection.transaction():
            made = await Predictions(connection).ensure_partitions(now)
            sessions = await Sessions(connection).drop_expired(now)
            await Tallies(connection).drop_before(now - _KEEP_TALLIES)
            await thin_out_figures(connection, now)
        kept = Retention((await table.get()).retention.chosen, limit).kept
        if kept is not None:
            try:
                async with connection.transaction():
                    dropped = await Predictions(connection).drop_before(now - kept)
            except asyncpg.LockNotAvailableError:
                postponed = True
        await table.tidied(limit, at=now, postponed=postponed)
    done = Maintenance(tuple(made), tuple(dropped), sessions, postponed)
    if done != Maintenance():
        log.info("database_maintained", **vars(done))
    return done


def retention_of(days: str | None) -> timedelta | None:
    """The setting's meaning: empty is for ever."""
    if not days:
        return None
    if not days.isdecimal() or not 1 <= int(days) <= 36_500:
        raise InvalidInput(
            f"SENTOPS_RETENTION_DAYS is {days!r}: give whole days from 1 to 36500, or leave it out."
        )
    return timedelta(days=int(days))


async def _maintain_url(url: str, limit: timedelta | None) -> None:
    connection = await open_connection(url, application_name="sentops maintain")
    try:
        await require_current(connection)
        await maintain(connection, now=datetime.now(UTC), limit=limit)
    finally:
        await connection.close()


def main() -> None:
    url = os.environ.get("SENTOPS_DATABASE_URL")
    if not url:
        sys.exit("Set SENTOPS_DATABASE_URL to the database to look after (postgresql://...).")
    configure_logging("maintain")
    try:
        limit = retention_of(os.environ.get("SENTOPS_RETENTION_DAYS"))
        asyncio.run(_maintain_url(url, limit))
    except PlatformError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
