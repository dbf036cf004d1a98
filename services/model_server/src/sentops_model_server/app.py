"""Wires the model server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import structlog
from fastapi import FastAPI, Request, Response

from sentops_core.domain.errors import PlatformError
from sentops_core.http import BearerTokens, create_app
from sentops_core.http.heap import settled_heap
from sentops_core.inference import Scorer
from sentops_core.process_metrics import Disks, new_registry
from sentops_model_server.answer_cache import AnswerCache
from sentops_model_server.answering import ClientLeft
from sentops_model_server.deps import Service
from sentops_model_server.direct import DirectPredict
from sentops_model_server.metrics import ModelMetrics
from sentops_model_server.queue import ScoringQueue
from sentops_model_server.routes import inference_protocol, predict, slots
from sentops_model_server.settings import ModelSettings
from sentops_model_server.slots import Loading, SlotName, Slots, WantedVersion

log = structlog.get_logger()


def build_app(
    settings: ModelSettings, *, give_up: Callable[[Exception], None] = lambda _error: None
) -> FastAPI:
    """The server; `give_up` is told why the fixed artefact can never be served, and may end the process."""
    registry = new_registry("model")
    registry.register(Disks({"cache": settings.cache_dir}))
    metrics = ModelMetrics.on(registry)
    fixed = _fixed_artifact(settings)
    token = settings.control_token
    control = BearerTokens([token]) if token is not None and fixed is None else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
        service = Service(
            model_name=settings.model_name,
            max_texts=settings.max_texts,
            within=settings.timeout_ms / 1000 if settings.timeout_ms else None,
            slots=Slots(
                settings.cache_dir, metrics, Loading(settings.fast_path, settings.provider)
            ),
            queue=ScoringQueue(
                workers=settings.workers,
                capacity=settings.queue_texts,
                metrics=metrics,
                together=partial(_together, settings),
            ),
            cache=_answer_cache(settings, metrics),
            metrics=metrics,
            control=control,
        )
        service.queue.start()
        loading = asyncio.create_task(_load_fixed(service.slots, fixed, give_up)) if fixed else None
        try:
            with settled_heap():
                yield {"service": service}
        finally:
            if loading is not None:
                loading.cancel()
                with suppress(asyncio.CancelledError):
                    await loading
            await service.queue.close()

    app = create_app(
        "Sentops model server",
        lifespan=lifespan,
        routers=[predict.router, slots.router, inference_protocol.router],
        registry=registry,
        readiness=_readiness,
        max_body_bytes=settings.max_body_bytes,
        ahead=lambda app: DirectPredict(app, settings.max_body_bytes),
    )
    app.add_exception_handler(ClientLeft, _on_client_left)
    return app


def _together(settings: ModelSettings, scorer: Scorer) -> int:
    """How many texts this scorer computes at once."""
    if not scorer.may_score_together:
        return 1
    wanted = scorer.is_on_gpu if settings.batching == "auto" else settings.batching == "on"
    return settings.batch_texts if wanted else 1


def _answer_cache(settings: ModelSettings, metrics: ModelMetrics) -> AnswerCache:
    cache = AnswerCache(
        entries=settings.answer_cache_entries, size_bytes=settings.answer_cache_bytes
    )
    metrics.cache_entries.set_function(lambda: len(cache))
    metrics.cache_bytes.set_function(lambda: cache.size_bytes)
    return cache


async def _on_client_left(_: Request, __: Exception) -> Response:
    """For our own request metrics: 499 is what proxies count as "closed by the client"."""
    return Response(status_code=499)


async def _readiness(request: Request) -> str | None:
    """Ready means: the champion slot serves a model that was verified by digest and golden predictions."""
    service: Service = request.state.service
    status = service.slots.status(SlotName.CHAMPION)
    return None if status.digest is not None else f"no model is loaded yet: {status.message}"


def _fixed_artifact(settings: ModelSettings) -> WantedVersion | None:
    if (
        settings.artifact_uri is None
        or settings.artifact_digest is None
        or settings.version is None
    ):
        return None
    return WantedVersion(
        storage_uri=settings.artifact_uri,
        digest=settings.artifact_digest,
        model_version=settings.version,
    )


async def _load_fixed(
    slots: Slots, wanted: WantedVersion, give_up: Callable[[Exception], None]
) -> None:
    """Load what the deployment names. A store that is away is tried again; a bad artefact never is."""
    while True:
        try:
            await slots.put(SlotName.CHAMPION, wanted)
        except PlatformError as error:
            if error.retry_after is None:
                return give_up(error)  # the slot's message says why, and so does /health/ready
            await asyncio.sleep(error.retry_after.total_seconds())
        except Exception as error:
            log.exception("fixed_artifact_failed")
            return give_up(error)
        else:
            return None
