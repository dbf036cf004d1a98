"""RED metrics for every HTTP service: requests, errors and duration by route template."""

import time
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


@dataclass(frozen=True)
class HttpMetrics:
    requests: Counter
    duration: Histogram

    @classmethod
    def on(cls, registry: CollectorRegistry) -> "HttpMetrics":
        return cls(
            requests=Counter(
                "sentops_http_requests_total",
                "HTTP requests answered.",
                ("method", "route", "status"),
                registry=registry,
            ),
            duration=Histogram(
                "sentops_http_request_duration_seconds",
                "Time from first byte in to last byte out.",
                ("method", "route"),
                buckets=_BUCKETS,
                registry=registry,
            ),
        )


class RequestMetrics:
    """ASGI middleware; an unknown path is one route, so that scanners cannot grow the label set."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def remember_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, remember_status)
        finally:
            route = _template(scope)
            self._metrics.requests.labels(scope["method"], route, str(status)).inc()
            self._metrics.duration.labels(scope["method"], route).observe(
                time.perf_counter() - started
            )


def _template(scope: Scope) -> str:
    """The whole route template; a route inside nested routers knows only its own end of it."""
    matched = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    return str(getattr(matched, "path", "unmatched"))


def metrics_router(registry: CollectorRegistry) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
