"""One way to make a service: errors, limits, health and metrics are the same everywhere."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from sentops_core.http.errors import PROBLEM_RESPONSES, add_error_handlers
from sentops_core.http.export import Export, export_from, telemetry
from sentops_core.http.health import Readiness, health_router
from sentops_core.http.limits import BodyLimit
from sentops_core.http.metrics import HttpMetrics, metrics_router
from sentops_core.http.observed import Observed

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]


Layer = Callable[[ASGIApp], ASGIApp]


class _Service(FastAPI):
    """Observed outside of everything else: what a middleware refuses, and the 500 of a defect, count as well."""

    def __init__(
        self, metrics: HttpMetrics, export: Export | None, ahead: Layer | None, **options: Any
    ) -> None:
        super().__init__(telemetry=telemetry(export), **options)
        self._ahead = ahead
        self._metrics = metrics
        self._export = export

    def build_middleware_stack(self) -> ASGIApp:
        inner = super().build_middleware_stack()
        if self._ahead is not None and self._export is None:
            inner = self._ahead(inner)
        return Observed(inner, self._metrics, self._export.current if self._export else None)


def create_app(
    title: str,
    *,
    lifespan: Lifespan,
    routers: Sequence[APIRouter],
    registry: CollectorRegistry,
    readiness: Readiness | None = None,
    max_body_bytes: int = 1_000_000,
    docs_url: str | None = "/docs",
    ahead: Layer | None = None,
) -> FastAPI:
    """A FastAPI app with problem details, bounded bodies, /health*, /metrics and these routers.

    Resources open in `lifespan` and travel as its state (`request.state.<name>`). Where OTEL_* variables say so,
    requests are sent as spans of the service named like the title: `sentops-web`. `ahead` wraps the app: it may answer
    what it can answer cheaper than FastAPI, and is left out where FastAPI makes the spans.
    """
    export = export_from(title.lower().replace(" ", "-"))
    app = _Service(
        HttpMetrics.on(registry),
        export,
        ahead,
        title=title,
        lifespan=lifespan if export is None else _with(export, lifespan),
        docs_url=docs_url,
        redoc_url=None,
        responses=PROBLEM_RESPONSES,
    )
    app.state.registry = registry
    add_error_handlers(app)
    app.add_middleware(BodyLimit, max_bytes=max_body_bytes)
    app.include_router(health_router(readiness))
    app.include_router(metrics_router(registry))
    for router in routers:
        app.include_router(router)
    return app


def _with(export: Export, lifespan: Lifespan) -> Lifespan:
    @asynccontextmanager
    async def until_sent(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        try:
            async with lifespan(app) as state:
                yield state
        finally:
            await asyncio.to_thread(export.close)

    return until_sent
