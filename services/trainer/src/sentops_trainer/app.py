"""Wires the control plane: pool, substrate with its loop, routes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fastapi import Depends, FastAPI, Request
from prometheus_client import CollectorRegistry

from sentops_core.domain.errors import PlatformError
from sentops_core.http import BearerTokens, create_app
from sentops_core.http.health import Degraded
from sentops_core.http.heap import settled_heap
from sentops_core.process_metrics import Disks, new_registry
from sentops_core.store.migrate import require_current
from sentops_core.store.pool import Pool, open_pool
from sentops_trainer.control_plane import Loop, OpenControlPlane, Substrate
from sentops_trainer.figures import figures
from sentops_trainer.local.startup import open_one_machine
from sentops_trainer.references import reading_references
from sentops_trainer.retraining.startup import retraining
from sentops_trainer.routes import (
    backoffice,
    model_versions,
    progress,
    retrain_policies,
    routing,
    train,
    training_jobs,
)
from sentops_trainer.settings import ClusterSettings, LocalSettings
from sentops_trainer.tracking.startup import tracking


def create_trainer(settings: LocalSettings | ClusterSettings) -> FastAPI:
    registry = new_registry("trainer")
    registry.register(Disks(_volumes(settings)))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
        url = settings.database_url.get_secret_value()
        async with await open_pool(url, application_name="trainer") as pool:
            async with pool.acquire() as connection:
                await require_current(connection)
            async with (
                _opened(settings, pool, registry) as substrate,
                _running(substrate.loop),
                tracking(settings, registry),
                retraining(settings, substrate, registry) as retrain_loop,
                figures(pool, registry),
                reading_references(pool),
            ):
                with settled_heap():
                    yield {
                        "control_plane": substrate.control_plane,
                        "loop": substrate.loop,
                        "retrain_loop": retrain_loop,
                        "settings": settings,
                    }

    app = create_app(
        "Sentops trainer",
        lifespan=lifespan,
        routers=[routing.router, progress.router, backoffice.router],
        registry=registry,
        readiness=_readiness,
    )
    for router in (
        train.router,
        training_jobs.router,
        model_versions.router,
        retrain_policies.router,
    ):
        app.include_router(router, dependencies=[Depends(BearerTokens([settings.token]))])
    return app


def _volumes(settings: LocalSettings | ClusterSettings) -> dict[str, Path]:
    """Where we write on disks of ours."""
    volumes = {}
    if settings.store_uri.startswith("file://"):
        volumes["store"] = Path(unquote(urlsplit(settings.store_uri).path))
    if isinstance(settings, LocalSettings):
        volumes["runs"] = settings.runs_dir
    return volumes


def _opened(
    settings: LocalSettings | ClusterSettings, pool: Pool, registry: CollectorRegistry
) -> AbstractAsyncContextManager[Substrate]:
    if isinstance(settings, LocalSettings):
        return open_one_machine(settings, pool, registry)
    # The Kubernetes client takes a second to import, which one machine need not wait for.
    from sentops_trainer.cluster.startup import open_cluster  # noqa: PLC0415

    return open_cluster(settings, pool, registry)


@asynccontextmanager
async def _running(loop: Loop) -> AsyncIterator[None]:
    task = asyncio.create_task(loop.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _readiness(request: Request) -> str | Degraded | None:
    loop: Loop = request.state.loop
    why = f": {loop.trouble}" if loop.trouble else "."
    if loop.last_round_at is None:
        return f"The loop has not finished its first round{why}"
    if datetime.now(UTC) - loop.last_round_at <= loop.patience:
        return None
    late = f"The loop has not finished a round since {loop.last_round_at:%H:%M:%S} UTC{why}"
    if loop.needed_to_serve:
        return late
    # Taken out of its Service, it could not even say who serves, which it still knows.
    open_control_plane: OpenControlPlane = request.state.control_plane
    try:
        async with open_control_plane() as control_plane:
            await control_plane.routing()
    except PlatformError as error:
        return f"{late} {error}"
    return Degraded(late)
