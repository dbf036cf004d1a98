"""Wires web together: resources open in the lifespan, close in reverse, and travel as request state."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta

import httpx
from fastapi import FastAPI, Request
from prometheus_client import CollectorRegistry

from sentops_core.http import create_app
from sentops_core.http.health import Degraded
from sentops_core.http.heap import settled_heap
from sentops_core.http.outgoing import CARRIES_TRACE
from sentops_core.language import language_detector
from sentops_core.process_metrics import Disks, new_registry
from sentops_core.store.pool import open_pool
from sentops_web.answering import Answering, Limits
from sentops_web.cards import Cards
from sentops_web.compress import Compress
from sentops_web.deps import Parts, parts_of
from sentops_web.direct import DirectPredict
from sentops_web.drain import Drain
from sentops_web.guard import Guard
from sentops_web.lookup import Lookup
from sentops_web.metrics import WebMetrics
from sentops_web.model_client import ModelClient
from sentops_web.pages import STATIC, SWAGGER, Files, Pages
from sentops_web.rates import Allowance, Rate
from sentops_web.routes import extras, feedback, many, page, permalinks, predictions, versions
from sentops_web.routing import RoutingClient
from sentops_web.settings import Settings
from sentops_web.signing import Signer
from sentops_web.similar import Shown, Similar
from sentops_web.spool import Spool
from sentops_web.status import StatusBoard
from sentops_web.voting import Voting

_ROUTING_EVERY = timedelta(seconds=1)


def create_web(
    settings: Settings, spool: Spool, *, registry: CollectorRegistry | None = None
) -> FastAPI:
    """The app over an open spool, which the caller closes after it."""
    registry = registry or new_registry("web")
    registry.register(Disks({"spool": settings.spool_dir}))
    metrics = WebMetrics.on(registry)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
        async with AsyncExitStack() as stack:
            parts = await _open(settings, spool, metrics, stack)
            pages = Pages()
            with settled_heap():
                yield {"parts": parts, "pages": pages}

    app = create_app(
        "Sentops web",
        lifespan=lifespan,
        routers=[
            page.router,
            permalinks.router,
            many.router,
            predictions.router,
            feedback.router,
            versions.router,
            extras.router,
        ],
        registry=registry,
        readiness=readiness,
        max_body_bytes=settings.max_body_bytes,
        docs_url=None,
        ahead=lambda inner: DirectPredict(inner, settings.max_body_bytes),
    )
    app.mount("/static", Files(directory=STATIC), name="static")
    app.mount("/docs/assets", Files(directory=SWAGGER), name="docs-assets")
    app.add_middleware(Compress)
    app.add_middleware(Guard)
    return app


async def readiness(request: Request) -> str | Degraded | None:
    """Web works without database and trainer for a while; it says so, and stays in service."""
    parts = parts_of(request)
    troubles = []
    if parts.drain.trouble is not None:
        rows = parts.spool.state().rows
        troubles.append(f"{parts.drain.trouble} {rows} rows wait in the spool.")
    if not parts.routing.reachable:
        troubles.append("The trainer does not answer; the last known routing is in use.")
    return Degraded(" ".join(troubles)) if troubles else None


async def _open(
    settings: Settings, spool: Spool, metrics: WebMetrics, stack: AsyncExitStack
) -> Parts:
    # No connection is opened here: web starts, and answers, without the database.
    pool = await open_pool(
        settings.database_url.get_secret_value(), min_size=0, max_size=5, application_name="web"
    )
    stack.push_async_callback(pool.close)
    http = await stack.enter_async_context(
        httpx.AsyncClient(
            limits=httpx.Limits(max_connections=64), trust_env=False, event_hooks=CARRIES_TRACE
        )
    )
    routing = RoutingClient(http, settings.trainer_url, settings.spool_dir / "routing.json")
    await routing.refresh()
    model = ModelClient(timeout_seconds=settings.model_timeout_seconds)
    stack.callback(model.close)
    answering = Answering(
        routing=routing,
        model=model,
        spool=spool,
        detect=await asyncio.to_thread(language_detector),
        metrics=metrics,
        limits=Limits(settings.max_text_characters, settings.max_batch_texts),
    )
    stack.push_async_callback(answering.close)
    drain = Drain(spool, pool, metrics)
    for work in (drain.run(), routing.keep_current(_ROUTING_EVERY)):
        stack.push_async_callback(_stop, asyncio.create_task(work))
    token = settings.trainer_token
    watch_state(metrics, spool, routing)
    return Parts(
        settings=settings,
        signer=Signer(settings.signing_key.get_secret_value()),
        answering=answering,
        voting=Voting(answering, spool, metrics),
        lookup=Lookup(spool, pool),
        similar=Similar(pool, Shown.read(settings.show_similar)),
        cards=Cards(pool, routing),
        routing=routing,
        spool=spool,
        drain=drain,
        status=StatusBoard(
            http, routing, settings.trainer_url, token.get_secret_value() if token else None
        ),
        texts=Allowance(
            Rate(settings.burst_texts, settings.texts_per_second),
            clients_per_address=settings.clients_per_address,
        ),
        votes=Allowance(
            Rate(settings.burst_votes, settings.votes_per_second),
            clients_per_address=settings.clients_per_address,
        ),
        metrics=metrics,
    )


def watch_state(metrics: WebMetrics, spool: Spool, routing: RoutingClient) -> None:
    """These gauges are read when somebody scrapes."""

    def oldest_age() -> float:
        oldest = spool.state().oldest_at
        return 0.0 if oldest is None else max(0.0, time.time() - oldest)

    metrics.spool_rows.set_function(lambda: spool.state().rows)
    metrics.spool_bytes.set_function(lambda: spool.state().bytes)
    metrics.spool_filled.set_function(lambda: spool.state().filled)
    metrics.spool_oldest_age.set_function(oldest_age)
    metrics.routing_revision.set_function(lambda: routing.current.revision)
    metrics.routing_age.set_function(
        lambda: float("nan") if routing.age_seconds is None else routing.age_seconds
    )


async def _stop(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
