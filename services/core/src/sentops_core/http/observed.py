"""What every request gets, whatever becomes of it: its place in a trace, a count, and its time.

One layer does it all, outermost, since each layer costs every request the same again.
"""

import time
from collections.abc import Callable
from typing import Any

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sentops_core import trace_context
from sentops_core.http.metrics import HttpMetrics
from sentops_core.trace_context import TraceContext

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Observed:
    """ASGI middleware; unknown paths are one route, and odd methods one, so that scanners cannot grow the label set."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: HttpMetrics,
        recorded: Callable[[], TraceContext | None] | None = None,
    ) -> None:
        """`recorded`: what somebody outside of us made of the request already, if traces are exported."""
        self._app = app
        self._metrics = metrics
        self._recorded = recorded
        # Asking the metrics for the one with certain labels costs more than the dictionary.
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

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

        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        context = self._recorded() if self._recorded is not None else None
        if context is None:
            caller = _caller(scope)
            context = caller.child() if caller is not None else trace_context.new_trace()
        token = trace_context.begin(context)
        try:
            await self._app(scope, receive, remember_status)
        finally:
            trace_context.end(token)
            route = route_of(scope)
            requests, duration = self._series_of(method, route, status)
            requests.inc()
            duration.observe(time.perf_counter() - started, {"trace_id": context.trace_id})

    def _series_of(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        found = self._series.get((method, route, status))
        if found is None:
            found = self._series[method, route, status] = (
                self._metrics.requests.labels(method, route, str(status)),
                self._metrics.duration.labels(method, route),
            )
        return found


def route_of(scope: Scope) -> str:
    """The whole route template; a route inside nested routers knows only its own end of it."""
    fastapi: dict[str, Any] = scope.get("fastapi", {})
    matched = fastapi.get("effective_route_context") or scope.get("route")
    return str(getattr(matched, "path", "unmatched"))


def _caller(scope: Scope) -> TraceContext | None:
    """What the caller works on; None where it does not say, or says it twice."""
    parents, states = [], []
    for name, value in scope["headers"]:
        if name == b"traceparent":
            parents.append(value)
        elif name == b"tracestate":
            states.append(value)
    if len(parents) != 1:
        return None
    return trace_context.parse(parents[0].decode("latin-1"), b",".join(states).decode("latin-1"))
