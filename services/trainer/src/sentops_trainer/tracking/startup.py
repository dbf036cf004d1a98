"""Opens the mirror, with a database connection and HTTP connections of its own, so that it can starve nobody."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from prometheus_client import CollectorRegistry

from sentops_core.store.pool import open_pool
from sentops_trainer.metrics import MlflowFigures
from sentops_trainer.settings import Settings
from sentops_trainer.tracking.client import Mlflow
from sentops_trainer.tracking.loop import TrackingLoop
from sentops_trainer.tracking.rest import Rest, open_http


@asynccontextmanager
async def tracking(settings: Settings, registry: CollectorRegistry) -> AsyncIterator[None]:
    """The mirror runs while the block does; not at all without an MLflow."""
    if settings.mlflow_url is None:
        yield
        return
    url = settings.database_url.get_secret_value()
    figures = MlflowFigures()
    registry.register(figures)
    async with (
        await open_pool(url, min_size=0, max_size=1, application_name="trainer mlflow") as pool,
        open_http(settings.mlflow_url.get_secret_value()) as http,
    ):
        loop = TrackingLoop(
            pool,
            Mlflow(Rest(http)),
            figures,
            files=settings.mlflow_artifacts,
            seconds=settings.mlflow_seconds,
        )
        task = asyncio.create_task(loop.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
