"""Moves the spool to PostgreSQL in batches; the database being away costs nothing but delay."""

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta

import asyncpg
import structlog

from sentops_core.domain.errors import PlatformError
from sentops_core.store.feedback import Feedback
from sentops_core.store.pool import Pool, transaction
from sentops_core.store.predictions import Predictions
from sentops_web.metrics import WebMetrics
from sentops_web.records import prediction_of, vote_of, withdrawal_of
from sentops_web.spool import Entry, Spool

log = structlog.get_logger()

_BATCH = 1000
# Lets rows come together; nobody waits for them. A batch costs web and PostgreSQL about three milliseconds, whatever is
# in it, and a row some 50 microseconds: gathered for a second, it is the rows that cost. What comes after a quiet time
# moves at once.
_GATHER = timedelta(seconds=1)
_LOOK_AGAIN = timedelta(seconds=1)
_LONGEST_PAUSE = 15.0
# What a row that the database will never take, whatever we wait, looks like. Only while it is written: to connect
# can raise some of these too (a wrong host name is a ValueError), and that is no fault of the rows.
_HOPELESS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    ValueError,
    TypeError,
    OverflowError,
)


class _Hopeless(Exception):
    """Some of these rows will never be taken; the cause says why."""


class Drain:
    def __init__(self, spool: Spool, pool: Pool, metrics: WebMetrics) -> None:
        self._spool = spool
        self._pool = pool
        self._metrics = metrics
        self.trouble: str | None = None

    async def run(self) -> None:
        """Runs until cancelled."""
        failures = 0
        while True:
            try:
                moved = await self.move_some()
            except Exception as error:  # noqa: BLE001 - whatever it is, rows wait and we try again
                failures += 1
                self._note_failure(error, failures)
                await asyncio.sleep(_pause(failures))
                continue
            if self.trouble is not None:
                log.info("database_back", after_failures=failures)
            failures, self.trouble = 0, None
            if moved < _BATCH:
                await asyncio.sleep(_GATHER.total_seconds())
            if moved == 0:
                await self._wait()

    async def move_some(self) -> int:
        """Move the oldest rows; how many. Safe to repeat: a row that is there already stays as it is."""
        entries = await self._spool.oldest(_BATCH)
        if entries:
            await self._move(entries)
            await self._spool.remove_through(entries[-1].seq)
        return len(entries)

    async def _move(self, entries: Sequence[Entry]) -> None:
        """All of them in one transaction; when one is hopeless, halve until it stands alone."""
        try:
            await self._write(entries)
        except _Hopeless as error:
            if len(entries) == 1:
                await self._set_aside(entries[0], error.__cause__)
                return
            middle = len(entries) // 2
            await self._move(entries[:middle])
            await self._move(entries[middle:])

    async def _write(self, entries: Sequence[Entry]) -> None:
        records = [entry.record for entry in entries]
        async with transaction(self._pool) as connection:
            try:
                predictions = [prediction_of(one) for one in records if one.kind == "prediction"]
                votes = [vote_of(one) for one in records if one.kind == "vote"]
                taken = [withdrawal_of(one) for one in records if one.kind == "withdrawal"]
                await Predictions(connection).copy_in(predictions)
                await Feedback(connection).record(votes, taken)
            except _HOPELESS as error:
                raise _Hopeless from error
        self._metrics.database_rows.labels("prediction").inc(len(predictions))
        self._metrics.database_rows.labels("vote").inc(len(votes))
        self._metrics.database_rows.labels("withdrawal").inc(len(taken))

    async def _set_aside(self, entry: Entry, error: BaseException | None) -> None:
        reason = type(error).__name__  # its message can quote the text
        await self._spool.set_aside(entry.seq, reason)
        self._metrics.database_refused_rows.inc()
        log.error("row_refused_by_database", kind=entry.record.kind, seq=entry.seq, reason=reason)

    def _note_failure(self, error: Exception, failures: int) -> None:
        self._metrics.database_failures.inc()
        known = isinstance(error, PlatformError)
        self.trouble = str(error) if known else f"The database failed ({type(error).__name__})."
        if failures == 1:  # one line when it goes, one when it is back
            log.warning(
                "database_behind", error=type(error).__name__, rows=self._spool.state().rows
            )

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_LOOK_AGAIN.total_seconds()):
                await self._spool.wait_for_entries()
        except TimeoutError:
            pass


def _pause(failures: int) -> float:
    """Longer each time, and never in step with the other replicas."""
    return min(_LONGEST_PAUSE, 0.25 * 2.0 ** min(failures, 10)) * random.uniform(0.5, 1)  # noqa: S311
