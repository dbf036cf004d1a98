"""Port 8080: probes, metrics, and Kubeflow Trainer's status protocol for runs."""

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from pydantic import Field, ValidationError

from sentops_core import trace_context
from sentops_core.domain.base import Document
from sentops_core.domain.errors import PlatformError
from sentops_core.domain.resources import TrainerStatus
from sentops_core.kube.api import KubeApi
from sentops_core.kube.kinds import TRAINING_JOB
from sentops_operator.manifests.metadata import token_audience
from sentops_operator.object_cache import ObjectCache
from sentops_operator.progress import ProgressBoard
from sentops_operator.work_queue import Key, KeyKind, WorkQueue

log = structlog.get_logger()

_LONGEST_REPORT = 64 * 1024
# A token that was found good is believed that long: a run posts every few seconds.
_TOKEN_SECONDS = 60.0
_MOST_TOKENS = 10_000

Judge = Callable[[], str | None]


class ProgressReport(Document):
    """`{"trainerStatus": {...}}`, as stock transformers posts it; fields we do not know are let pass."""

    model_config = Document.model_config | {"extra": "ignore"}

    trainer_status: TrainerStatus = Field(default=TrainerStatus())


class RunTokens:
    """Whether a token was issued for one job's run: asked of the API server, which issued it."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._good_until: dict[str, float] = {}

    async def is_for(self, token: str, namespace: str, name: str) -> bool:
        """Unavailable and its like when the API server cannot say."""
        audience = token_audience(namespace, name)
        place = hashlib.sha256(f"{audience} {token}".encode()).hexdigest()
        now = time.monotonic()
        if self._good_until.get(place, 0) > now:
            return True
        review = await self._api.create(
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenReview",
                "metadata": {},
                "spec": {"token": token, "audiences": [audience]},
            }
        )
        status = review.get("status") or {}
        good = bool(status.get("authenticated")) and audience in (status.get("audiences") or [])
        if good:
            if len(self._good_until) >= _MOST_TOKENS:
                self._good_until.clear()
            self._good_until[place] = now + _TOKEN_SECONDS
        return good


def build_server(
    registry: CollectorRegistry,
    cache: ObjectCache,
    queue: WorkQueue,
    progress: ProgressBoard,
    tokens: RunTokens,
    *,
    why_not_alive: Judge,
    why_not_ready: Judge,
    leading: Callable[[], bool],
) -> web.Application:
    async def healthz(_: web.Request) -> web.Response:
        return _probe(why_not_alive())

    async def readyz(_: web.Request) -> web.Response:
        return _probe(why_not_ready())

    async def metrics(request: web.Request) -> web.Response:
        encode, media_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": media_type})

    async def post_progress(request: web.Request) -> web.Response:
        """Answers 200 with what was understood; a report never changes the outcome of a run."""
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        if not leading():
            return _problem(503, "unavailable", "This replica stands by; the next one leads.")
        if cache.get(TRAINING_JOB, namespace, name) is None:
            return _problem(404, "not_found", f"There is no TrainingJob {namespace}/{name}.")
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            given = scheme.lower() == "bearer" and token != ""
            known = given and await tokens.is_for(token, namespace, name)
        except PlatformError as error:
            log.warning("token_not_reviewed", error=str(error))
            return _problem(503, "unavailable", "The token cannot be checked now; try again.")
        if not known:
            return _problem(401, "unauthenticated", "This token does not belong to this job's run.")
        try:
            report = ProgressReport.model_validate_json(await request.read())
        except ValidationError as error:
            return _problem(422, "invalid_input", str(error.errors(include_url=False)[0]["msg"]))
        wait = progress.post(namespace, name, report.trainer_status)
        queue.add_after(Key(KeyKind.TRAINING_JOB, namespace, name), wait)
        return web.json_response(report.to_document())

    app = web.Application(client_max_size=_LONGEST_REPORT, middlewares=[_traced])
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    app.router.add_post("/training-jobs/{namespace}/{name}/progress", post_progress)
    return app


@web.middleware
async def _traced(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A further piece of what the caller works on: a run names its trace with each report."""
    headers = request.headers
    caller = trace_context.parse(headers.get("traceparent", ""), headers.get("tracestate", ""))
    with trace_context.working_on(caller.child() if caller else trace_context.new_trace()):
        return await handler(request)


def _probe(trouble: str | None) -> web.Response:
    return web.Response(text=trouble or "ok", status=503 if trouble else 200)


def _problem(status: int, code: str, detail: str) -> web.Response:
    """RFC 9457."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": code.replace("_", " "),
        "status": status,
        "code": code,
        "detail": detail,
    }
    if (trace := trace_context.current()) is not None:
        document["trace_id"] = trace.trace_id
    return web.Response(
        text=json.dumps(document), status=status, content_type="application/problem+json"
    )
