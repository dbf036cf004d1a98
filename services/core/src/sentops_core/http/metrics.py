"""RED metrics for every HTTP service, and the page that Prometheus reads."""

from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import choose_encoder

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


def metrics_router(registry: CollectorRegistry) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def metrics(request: Request) -> Response:
        """As text, or with exemplars as OpenMetrics when the scraper accepts that."""
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": media_type, "vary": "accept"})

    return router
