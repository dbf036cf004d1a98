"""Liveness and readiness, in the three addresses that people and orchestrators expect."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse


@dataclass(frozen=True)
class Degraded:
    """Something is away, but the service does its work all the same."""

    detail: str


# A check returns None when all is well, else a sentence that says what is missing.
Readiness = Callable[[Request], Awaitable[str | Degraded | None]]


def health_router(readiness: Readiness | None) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/health/live", summary="The process answers")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    async def ready(request: Request) -> JSONResponse:
        missing = await readiness(request) if readiness is not None else None
        if missing is None:
            return JSONResponse({"status": "ok"})
        if isinstance(missing, Degraded):
            return JSONResponse({"status": "degraded", "detail": missing.detail})
        return JSONResponse({"status": "unavailable", "detail": missing}, 503, {"retry-after": "2"})

    router.add_api_route(
        "/health/ready", ready, summary="Ready to do its work", response_model=None
    )
    router.add_api_route("/health", ready, summary="Same as /health/ready", response_model=None)
    return router
