"""Asking a model server: texts in, checked answers out, failures as what they mean for the asker."""

from collections.abc import Sequence
from datetime import timedelta

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sentops_core.domain.base import Digest, Label
from sentops_core.domain.errors import Overloaded, Unavailable
from sentops_core.domain.resources import Variant

# Whoever does not even take the connection is gone, as a candidate taken back a moment ago is: its Service's address
# swallows packets. The other variant answers instead, and the asker must not wait the whole time for that.
_CONNECT_SECONDS = 2.0


class ModelAnswer(BaseModel):
    """One text's answer; what a newer model server adds is left alone."""

    model_config = ConfigDict(frozen=True)

    label: Label
    score: float = Field(ge=0, le=1.001)  # single precision rounds up
    scores: dict[Label, float]
    model_version: str
    digest: Digest
    truncated: bool = False


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
    def __init__(self, http: httpx.AsyncClient, *, timeout_seconds: float) -> None:
        self._http = http
        self._timeout = httpx.Timeout(
            timeout_seconds, connect=min(_CONNECT_SECONDS, timeout_seconds)
        )

    async def ask(self, variant: Variant, texts: Sequence[str]) -> list[ModelAnswer]:
        """One answer per text, in order. ModelBusy or ModelUnavailable when there is none."""
        try:
            answer = await self._post(variant, texts)
        except httpx.HTTPError as error:
            raise _unavailable() from error
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise ModelBusy("Many texts are being read just now; try again in a second.")
        if answer.status_code != httpx.codes.OK:
            raise _unavailable()
        try:
            answers = _Answers.model_validate_json(answer.content).predictions
        except ValidationError as error:
            raise _unavailable() from error
        if len(answers) != len(texts):
            raise _unavailable()
        return answers

    async def _post(self, variant: Variant, texts: Sequence[str]) -> httpx.Response:
        """Twice if the connection broke: while a Deployment rolls, the next one leads to a pod that stays."""
        url, body = f"{variant.url.rstrip('/')}/predict", {"texts": list(texts)}
        try:
            return await self._http.post(url, json=body, timeout=self._timeout)
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            return await self._http.post(url, json=body, timeout=self._timeout)


def _unavailable() -> ModelUnavailable:
    return ModelUnavailable("The model does not answer just now; try again in a few seconds.")
