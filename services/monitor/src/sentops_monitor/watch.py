"""The monitor's two loops: look at the quality, and keep the database tidy. An outage only delays them."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog

from sentops_core.domain.errors import PlatformError
from sentops_core.store.maintain import maintain
from sentops_core.store.migrate import require_current
from sentops_core.store.pool import Pool, database_errors, transaction
from sentops_monitor.metrics import MonitorMetrics
from sentops_monitor.quality import Snapshot, take_snapshot

log = structlog.get_logger()

_STALE_AFTER = 5  # rounds without success: what was seen then says nothing about now


class Watch:
    """Holds the last snapshot; `trouble` says why there is no newer one."""

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
        self._snapshot: Snapshot | None = None
        self.trouble: str | None = "The first look at the database is not finished."

    def current(self, now: datetime) -> Snapshot | None:
        """The last snapshot while it still says something; None is "unknown"."""
        if self._snapshot is None or now - self._snapshot.taken_at > self._every * _STALE_AFTER:
            return None
        return self._snapshot

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._repeat(self.refresh, self._every))
            tasks.create_task(self._repeat(self.tidy, self._maintain_every))

    async def refresh(self) -> None:
        try:
            async with transaction(self._pool) as connection:
                await require_current(connection)
                self._snapshot = await take_snapshot(connection, datetime.now(UTC))
        except Exception as error:
            known = isinstance(error, PlatformError)
            self.trouble = str(error) if known else "The last look failed; the log says why."
            self._metrics.failures.labels("refresh").inc()
            raise
        self.trouble = None

    async def tidy(self) -> None:
        try:
            with database_errors():
                async with self._pool.acquire(timeout=10) as connection:
                    await require_current(connection)
                    await maintain(connection, now=datetime.now(UTC), limit=self._retention_limit)
        except Exception:
            self._metrics.failures.labels("maintenance").inc()
            raise

    async def _repeat(self, step: Callable[[], Awaitable[None]], every: timedelta) -> None:
        """Run a step for ever. After a failure it is tried again soon, however long its period."""
        while True:
            pause = every
            try:
                await step()
            except (PlatformError, OSError) as error:
                log.warning("monitor_step_failed", step=step.__name__, error=str(error))
                pause = min(every, timedelta(seconds=30))
            except Exception:
                log.exception("monitor_step_broke", step=step.__name__)
            await asyncio.sleep(pause.total_seconds())
