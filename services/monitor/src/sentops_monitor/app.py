"""Wires the monitor: pool, watch, metrics, routes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

from fastapi import FastAPI, Request
from prometheus_client.registry import Collector

from sentops_core.http import create_app
from sentops_core.process_metrics import new_registry
from sentops_core.store.pool import open_pool
from sentops_monitor.drift_metrics import DriftCollector
from sentops_monitor.metrics import MonitorMetrics, RoundCollector
from sentops_monitor.quality_metrics import QualityCollector
from sentops_monitor.round import Figures
from sentops_monitor.routes import drift, quality
from sentops_monitor.settings import Settings
from sentops_monitor.watch import Watch


def create_monitor(settings: Settings) -> FastAPI:
    registry = new_registry("monitor")
    metrics = MonitorMetrics.on(registry)
    days = settings.retention_days

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
        # No connection is opened here: the monitor starts without the database, and says so.
        pool = await open_pool(
            settings.database_url.get_secret_value(),
            min_size=0,
            max_size=2,
            application_name="monitor",
        )
        watch = Watch(
            pool,
            metrics,
            every=timedelta(seconds=settings.refresh_seconds),
            maintain_every=timedelta(seconds=settings.maintenance_seconds),
            retention_limit=None if days is None else timedelta(days=days),
        )

        def current() -> Figures | None:
            return watch.current(datetime.now(UTC))

        collectors: list[Collector] = [
            RoundCollector(current),
            QualityCollector(lambda: found.qualities if (found := current()) else ()),
            DriftCollector(lambda: found.drifts if (found := current()) else ()),
        ]
        for collector in collectors:
            registry.register(collector)
        task = asyncio.create_task(watch.run())
        try:
            yield {"watch": watch}
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            for collector in collectors:
                registry.unregister(collector)
            await pool.close()

    return create_app(
        "Sentops monitor",
        lifespan=lifespan,
        routers=[quality.router, drift.router],
        registry=registry,
        readiness=_readiness,
    )


async def _readiness(request: Request) -> str | None:
    watch: Watch = request.state.watch
    return None if watch.current(datetime.now(UTC)) is not None else watch.trouble
