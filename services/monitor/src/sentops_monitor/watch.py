"""The monitor's two loops: look at the quality, and keep the database tidy. An outage only delays them."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog

from sentops_core.domain.errors import PlatformError
from sentops_core.store.maintain import maintain
from sentops_core.store.migrate import require_current
from sentops_core.store.pool import Pool, database_errors
from sentops_monitor.metrics import MonitorMetrics
from sentops_monitor.round import A_GREAT_DEAL, Figures, Round

log = structlog.get_logger()

_STALE_AFTER = 5  # rounds without success: what was seen then says nothing about now
_LEAST_PATIENCE = timedelta(seconds=2)


class Watch:
    """Holds the last round's figures; `trouble` says why there are no newer ones."""

    def __init__(
        self,
        pool: Pool,
        metrics: MonitorMetrics,
        *,
        every: timedelta,
        maintain_every: timedelta,
        retention_limit: timedelta | None,
    ) -> None:
        self._pool = pool
        self._metrics = metrics
        self._every = every
        self._maintain_every = maintain_every
        self._retention_limit = retention_limit
        self._round = Round()
        self._figures: Figures | None = None
        self.trouble: str | None = "The first look at the database is not finished."

    def current(self, now: datetime) -> Figures | None:
        """The last figures while they still say something; None is "unknown"."""
        patience = max(self._every * _STALE_AFTER, _LEAST_PATIENCE)
        if self._figures is None or now - self._figures.taken_at > patience:
            return None
        return self._figures

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._repeat(self.refresh, self._every))
            tasks.create_task(self._repeat(self.tidy, self._maintain_every))

    async def refresh(self) -> bool:
        """Whether there is so much to count that the next round should begin at once, and it becomes less."""
        begun, before = time.perf_counter(), self._figures
        try:
            self._figures = await self._round.take(self._pool)
        except Exception as error:
            known = isinstance(error, PlatformError)
            self.trouble = str(error) if known else "The last look failed; the log says why."
            self._metrics.failures.labels("refresh").inc()
            raise
        self.trouble = None
        self._metrics.round_seconds.observe(time.perf_counter() - begun)
        waiting = self._figures.waiting
        return waiting >= A_GREAT_DEAL and (before is None or waiting < before.waiting)

    async def tidy(self) -> bool:
        try:
            with database_errors():
                async with self._pool.acquire(timeout=10) as connection:
                    await require_current(connection)
                    await maintain(connection, now=datetime.now(UTC), limit=self._retention_limit)
        except Exception:
            self._metrics.failures.labels("maintenance").inc()
            raise
        return False

    async def _repeat(self, step: Callable[[], Awaitable[bool]], every: timedelta) -> None:
        """Run a step for ever. After a failure it is tried again soon, however long its period."""
        while True:
            pause = every
            try:
                if await step():
                    pause = timedelta()
            except (PlatformError, OSError) as error:
                log.warning("monitor_step_failed", step=step.__name__, error=str(error))
                pause = min(every, timedelta(seconds=30))
            except Exception:
                log.exception("monitor_step_broke", step=step.__name__)
            await asyncio.sleep(pause.total_seconds())
