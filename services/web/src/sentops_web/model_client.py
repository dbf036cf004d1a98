"""Asking a model server: texts in, checked answers out, failures as what they mean for the asker.

Texts that are asked for one by one travel together when they have to wait anyway (`together.py`).
"""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus
from urllib.parse import urlsplit

import orjson
from pydantic import BaseModel, ConfigDict, Field

from sentops_core import trace_context
from sentops_core.domain.base import Digest, Label
from sentops_core.domain.errors import Overloaded, Unavailable
from sentops_core.domain.fast_path import AnswerPath
from sentops_core.domain.resources import Variant
from sentops_web.hop import Answer, Broken, Origin, TooSlow, Unreachable
from sentops_web.together import Spoiled, Together

# Whoever does not even take the connection is gone, as a candidate taken back a moment ago is: its Service's address
# swallows packets. The other variant answers instead, and the asker must not wait the whole time for that.
_CONNECT_SECONDS = 2.0
# What one text can bring about; anything else concerns all that are sent.
_SPOILED = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.INTERNAL_SERVER_ERROR,
    }
)
_LONGEST_PATIENCE_MS = 3_600_000  # that a model server takes
_MOST_SERVERS = 16  # versions come and go


class ModelAnswer(BaseModel):
    """One text's answer; what a newer model server adds is left alone."""

    model_config = ConfigDict(frozen=True)

    label: Label
    score: float = Field(ge=0, le=1.001)  # single precision rounds up
    scores: dict[Label, float]
    model_version: str
    digest: Digest
    truncated: bool = False
    path: AnswerPath | None = None  # older servers have one path and do not say so


class _Answers(BaseModel):
    predictions: list[ModelAnswer]


class ModelBusy(Overloaded):
    """The model server's queue is full."""

    code = "model_busy"


class ModelUnavailable(Unavailable):
    """The model server cannot answer just now."""

    code = "model_unavailable"
    retry_after = timedelta(seconds=2)


class ModelClient:
    def __init__(self, *, timeout_seconds: float) -> None:
        self._seconds = timeout_seconds
        self._servers: OrderedDict[str, _Server] = OrderedDict()

    async def ask(self, variant: Variant, texts: Sequence[str]) -> Sequence[ModelAnswer]:
        """One answer per text, in order. ModelBusy or ModelUnavailable when there is none."""
        try:
            server = self._server(variant.url)
            if len(texts) > 1:
                return await server.ask(texts)
            return [await server.together.one(texts[0], seconds=self._seconds)]
        except (Spoiled, Broken, TooSlow, Unreachable, TimeoutError, ValueError) as error:
            raise _unavailable() from error

    def close(self) -> None:
        for server in self._servers.values():
            server.origin.close()

    def _server(self, url: str) -> "_Server":
        server = self._servers.get(url)
        if server is None:
            self._let_go()
            server = self._servers[url] = _Server(url, self._seconds)
        return server

    def _let_go(self) -> None:
        """Of servers that nobody asks just now, the oldest."""
        for url, server in list(self._servers.items()):
            if len(self._servers) < _MOST_SERVERS:
                break
            if server.together.idle:
                server.origin.close()
                del self._servers[url]


class _Server:
    def __init__(self, url: str, seconds: float) -> None:
        self.origin = Origin(url)
        self.together = Together[ModelAnswer](self.ask)
        self._path = f"{urlsplit(url).path.rstrip('/')}/predict"
        self._seconds = seconds
        self._patience = str(min(max(1, round(1000 * seconds)), _LONGEST_PATIENCE_MS))

    async def ask(self, texts: Sequence[str]) -> Sequence[ModelAnswer]:
        answer = await self._post(orjson.dumps({"texts": texts}))
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise _busy()
        if answer.status in _SPOILED:
            raise Spoiled
        if answer.status != HTTPStatus.OK:
            raise _unavailable()
        answers = _Answers.model_validate_json(answer.content).predictions
        if len(answers) != len(texts):
            raise _unavailable()
        return answers

    async def _post(self, body: bytes) -> Answer:
        """Twice if the connection broke: while a Deployment rolls, the next one leads to a pod that stays."""
        headers = {"x-request-timeout-ms": self._patience}
        trace_context.carry(headers)
        try:
            return await self._once(body, headers)
        except Broken:
            return await self._once(body, headers, anew=True)

    async def _once(self, body: bytes, headers: dict[str, str], *, anew: bool = False) -> Answer:
        return await self.origin.post(
            self._path,
            body,
            headers,
            seconds=self._seconds,
            connect_seconds=_CONNECT_SECONDS,
            anew=anew,
        )


def _busy() -> ModelBusy:
    return ModelBusy("Many texts are being read just now; try again in a second.")


def _unavailable() -> ModelUnavailable:
    return ModelUnavailable("The model does not answer just now; try again in a few seconds.")
