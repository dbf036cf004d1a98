"""One round of the monitor: count what is due, add up the windows, work out quality and drift, store the figures."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import structlog

from sentops_core.domain.drift import DriftFigures
from sentops_core.domain.errors import Unavailable
from sentops_core.domain.quality_figures import WINDOWS, QualityFigures
from sentops_core.store.champions import Champions, champions
from sentops_core.store.migrate import require_current
from sentops_core.store.pool import Connection, Pool, transaction
from sentops_core.store.quality_figures import QualityTable
from sentops_core.store.tallies import Tallies, runs
from sentops_core.store.vote_sources import largest_source_shares
from sentops_monitor.drift import Drift
from sentops_monitor.history import DAY, HOUR, History, begin_of, floor
from sentops_monitor.quality import LONGEST, quality_of

log = structlog.get_logger()

# Pieces of ten minutes, answers and votes apart: a quarter of a day in one transaction, a week in one round, so that
# figures are seen while a first fill goes on.
_AT_ONCE = 72
_PER_ROUND = 28
A_GREAT_DEAL = _AT_ONCE  # more than what comes in between two rounds
_SHARES_EVERY = timedelta(minutes=5)  # they read the votes themselves, all of four weeks


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Figures:
    """What a round found; versions that answered nothing in a window are absent from it.

    `waiting` counts the pieces of ten minutes that are still to be counted, answers and votes apart.
    """

    taken_at: datetime
    waiting: int
    qualities: tuple[QualityFigures, ...]
    drifts: tuple[DriftFigures, ...]
    champions: Champions


class Round:
    """Remembers between rounds what need not be read again. One round at a time."""

    def __init__(self, clock: Callable[[], datetime] = _now) -> None:
        self._clock = clock
        self._keeper = uuid4()
        self._history: History | None = None
        self._counted_hours: set[datetime] = set()
        self._answering: frozenset[str] | None = None
        self._learnt: frozenset[str] = frozenset()
        self._shares: dict[tuple[str, str], float] = {}
        self._shares_at: datetime | None = None
        self._drift = Drift()

    async def take(self, pool: Pool) -> Figures:
        """Count the newest of what is due, and say what the windows look like then."""
        await self._learn_words(pool)
        for _ in range(_PER_ROUND):
            if not await self._count_some(pool):
                break
        await self._look_at_sources(pool)
        async with transaction(pool) as connection:
            return await self._figures(connection, self._clock())

    async def _learn_words(self, pool: Pool) -> None:
        """Know the words of the versions that answer before texts are counted, and count again what was so without."""
        async with transaction(pool) as connection:
            await require_current(connection)
            tallies, oldest = Tallies(connection), begin_of(LONGEST, self._clock())
            answering = self._answering
            if answering is None:
                answering = await tallies.answering(oldest)
            self._learnt |= await self._drift.references.refresh(connection, answering)
            if self._learnt:
                await tallies.count_words_again(self._learnt, oldest)
        self._learnt = frozenset()

    async def _count_some(self, pool: Pool) -> bool:
        """Whether there may be more."""
        async with transaction(pool) as connection:
            tallies = Tallies(connection)
            if await tallies.keep(self._keeper):
                self._history = None
            await tallies.leave_uncounted(begin_of(LONGEST, self._clock()))
            due = await tallies.due(_AT_ONCE)
            # Said before the commit, of which one cannot know whether it succeeded: reading once too often is harmless.
            self._counted_hours |= {floor(one.bucket, HOUR) for one in due}
            await tallies.recount(due, self._drift.references.vocabularies)
        return len(due) == _AT_ONCE

    async def _look_at_sources(self, pool: Pool) -> None:
        """Now and then, and by itself: where it takes too long, all other figures are still known."""
        now = self._clock()
        if self._shares_at is not None and now - self._shares_at < _SHARES_EVERY:
            return
        beginnings = {window: begin_of(window, now) for window in WINDOWS}
        try:
            async with transaction(pool) as connection:
                self._shares = await largest_source_shares(connection, beginnings)
        except Unavailable as error:
            log.warning("sources_of_votes_unknown", error=str(error))
            self._shares = {}
        self._shares_at = now

    async def _figures(self, connection: Connection, now: datetime) -> Figures:
        history = await self._remembered(connection, now)
        windows = history.windows(now)
        self._answering = frozenset(one.model_version for one in windows)
        qualities = quality_of(history, windows, self._shares, now)
        await QualityTable(connection).save(qualities, now)
        return Figures(
            taken_at=now,
            waiting=await Tallies(connection).waiting(),
            qualities=qualities,
            drifts=await self._drift.take(connection, windows, now),
            champions=await champions(connection),
        )

    async def _remembered(self, connection: Connection, now: datetime) -> History:
        """The counts in memory as they are stored now."""
        history = self._history
        if history is None:
            history = History()
            # A little into the future: clocks of other machines may be ahead.
            await history.load(connection, begin_of(LONGEST, now), floor(now, DAY) + 2 * DAY, now)
        else:
            for start, end in runs(self._counted_hours, HOUR):
                await history.load(connection, start, end, now)
        history.forget(now)
        self._history = history
        self._counted_hours.clear()
        return history
