"""Opens the loop that trains again, with database connections of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from prometheus_client import CollectorRegistry

from sentops_core.store.pool import open_pool
from sentops_trainer.control_plane import Substrate
from sentops_trainer.metrics import RetrainFigures
from sentops_trainer.retraining.carrying_out import CarryingOut, building_apart
from sentops_trainer.retraining.loop import RetrainLoop
from sentops_trainer.settings import Settings


@asynccontextmanager
async def retraining(
    settings: Settings, substrate: Substrate, registry: CollectorRegistry
) -> AsyncIterator[RetrainLoop]:
    """It runs while the block does."""
    url = settings.database_url.get_secret_value()
    figures = RetrainFigures.on(registry)
    # One connection holds the turn, one works.
    async with await open_pool(
        url, min_size=0, max_size=3, application_name="trainer retraining"
    ) as pool:
        carrying_out = CarryingOut(
            pool=pool,
            open_control_plane=substrate.control_plane,
            store_uri=settings.store_uri,
            build=building_apart(url),
        )
        loop = RetrainLoop(
            pool,
            substrate.retrain_policies,
            carrying_out,
            figures,
            seconds=settings.retrain_seconds,
        )
        task = asyncio.create_task(loop.run())
        try:
            yield loop
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
