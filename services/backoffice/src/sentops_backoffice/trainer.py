"""What the backoffice asks of the control plane: the trainer's HTTP API, on behalf of a person."""

from collections.abc import Mapping
from typing import Any

import httpx

from sentops_core.domain import errors

_ERRORS: dict[int, type[errors.PlatformError]] = {
    400: errors.InvalidInput,
    404: errors.NotFound,
    409: errors.Conflict,
    413: errors.TooLarge,
    415: errors.UnsupportedFormat,
    422: errors.InvalidInput,
    429: errors.Overloaded,
    503: errors.Unavailable,
}


class TrainerAway(errors.Unavailable):
    """No answer came. What we know stays shown; what was asked for may be asked for again."""

    def __init__(self) -> None:
        super().__init__(
            "The control plane (trainer) does not answer just now; try again in a moment.",
            saying="trainer_away",
        )


class Trainer:
    """Its refusals arrive as our errors, with its own sentences."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def post(
        self, path: str, *, actor: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        content: dict[str, Any] = (await self._send("POST", path, actor, body)).json()
        return content

    async def put(self, path: str, *, actor: str, body: Mapping[str, Any]) -> dict[str, Any]:
        content: dict[str, Any] = (await self._send("PUT", path, actor, body)).json()
        return content

    async def delete(self, path: str, *, actor: str) -> None:
        await self._send("DELETE", path, actor, None)

    async def get_text(
        self, path: str, *, seconds: float, query: Mapping[str, str | int] | None = None
    ) -> str:
        """A page waits for this, so never for longer than so many seconds."""
        try:
            answer = await self._client.get(path, params=query, timeout=seconds)
        except httpx.HTTPError as error:
            raise TrainerAway from error
        _require_success(answer)
        return answer.text

    async def _send(
        self, method: str, path: str, actor: str, body: Mapping[str, Any] | None
    ) -> httpx.Response:
        try:
            answer = await self._client.request(
                method, path, json=body, headers={"x-sentops-actor": actor[:100]}
            )
        except httpx.HTTPError as error:
            raise TrainerAway from error
        _require_success(answer)
        return answer


def _require_success(answer: httpx.Response) -> None:
    if not answer.is_success:
        if answer.status_code in {401, 403}:
            raise errors.Unavailable(
                "The control plane does not accept our token: check SENTOPS_BACKOFFICE_TRAINER_TOKEN."
            )
        kind = _ERRORS.get(answer.status_code, errors.Unavailable)
        raise kind(_sentence_of(answer))


def _sentence_of(answer: httpx.Response) -> str:
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return f"The control plane answered {answer.status_code} and did not say why."
    return str(detail)
