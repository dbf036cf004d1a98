"""Wires the control plane: pool, substrate, loop, routes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import httpx
from fastapi import Depends, FastAPI, Request

from sentops_core.http import BearerTokens, create_app
from sentops_core.http.app import new_registry
from sentops_core.store.migrate import require_current
from sentops_core.store.pool import open_pool
from sentops_trainer.converge_loop import ConvergeLoop
from sentops_trainer.local.model_slots import ModelSlots
from sentops_trainer.local.processes import Processes
from sentops_trainer.local.substrate import LocalSubstrate
from sentops_trainer.metrics import ConvergeMetrics
from sentops_trainer.routes import (
    backoffice,
    model_versions,
    progress,
    routing,
    train,
    training_jobs,
)
from sentops_trainer.settings import Settings

# A round waits for a model to load and verify; one that takes longer has hung.
_LOOP_PATIENCE = timedelta(minutes=5)


def create_trainer(settings: Settings) -> FastAPI:
    registry = new_registry()
    metrics = ConvergeMetrics.on(registry)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
        processes = Processes(
            settings.runs_dir, progress_url=settings.progress_url, threads=settings.run_threads
        )
        control = {"authorization": f"Bearer {settings.model_control_token.get_secret_value()}"}
        async with (
            await open_pool(
                settings.database_url.get_secret_value(), application_name="trainer"
            ) as pool,
            httpx.AsyncClient(
                base_url=settings.model_url, headers=control, trust_env=False
            ) as client,
        ):
            async with pool.acquire() as connection:
                await require_current(connection)
            substrate = LocalSubstrate(
                pool,
                processes,
                ModelSlots(client),
                model_url=settings.model_url,
                model_name=settings.model_name,
            )
            loop = ConvergeLoop(substrate, metrics, pause_seconds=settings.converge_seconds)
            task = asyncio.create_task(loop.run())
            try:
                yield {"pool": pool, "processes": processes, "loop": loop, "settings": settings}
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def readiness(request: Request) -> str | None:
        last = request.state.loop.last_round_at
        if last is None:
            return "The converge loop has not finished its first round."
        if datetime.now(UTC) - last > _LOOP_PATIENCE:
            return f"The converge loop has not finished a round since {last:%H:%M:%S} UTC."
        return None

    app = create_app(
        "Sentops trainer",
        lifespan=lifespan,
        routers=[routing.router, progress.router, backoffice.router],
        registry=registry,
        readiness=readiness,
    )
    for router in (train.router, training_jobs.router, model_versions.router):
        app.include_router(router, dependencies=[Depends(BearerTokens([settings.token]))])
    return app
