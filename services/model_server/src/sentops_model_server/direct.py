"""The ordinary request for predictions, answered ahead of FastAPI, whose ways cost more than a small model does.

What is ordinary is read here: POST, JSON of a known length, one `text` or `texts`. Everything else, also everything
that is wrong with a body, goes on to FastAPI unread, so that there is one place that judges and explains. The
contract is FastAPI's alone (`routes/predict.py`); a test holds the two to the same answers.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeGuard

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from sentops_core.http.ahead import again, answer_ahead, content_of, read_ahead
from sentops_model_server.answering import ClientLeft, answer
from sentops_model_server.deps import Service
from sentops_model_server.routes.predict import LONGEST_TIMEOUT_MS, as_json
from sentops_model_server.slots import SlotName

_JSON = b"application/json"


@dataclass(frozen=True)
class _Route:
    """What the request metrics are told of, as of a route of FastAPI's."""

    path: str
    slot: SlotName


_ROUTES = {"/predict": _Route("/predict", SlotName.CHAMPION)} | {
    f"/slots/{slot}/predict": _Route("/slots/{slot}/predict", slot) for slot in SlotName
}


@dataclass(frozen=True)
class _Asked:
    texts: list[str]
    is_one: bool


class DirectPredict:
    """ASGI layer in front of the app."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = _ROUTES.get(scope["path"]) if scope["type"] == "http" else None
        if route is None or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        within = self._ordinary(scope["headers"])
        if within is None:
            await self._app(scope, receive, send)
            return
        messages = await read_ahead(receive)
        asked = _asked(content_of(messages))
        if asked is None:
            await self._app(scope, again(messages, receive), send)
            return
        scope["route"] = route
        service: Service = scope["state"]["service"]
        body = _answered(service, receive, route.slot, asked, within / 1000 or None)
        await answer_ahead(scope, receive, send, body)

    def _ordinary(self, headers: Iterable[tuple[bytes, bytes]]) -> int | None:
        """Milliseconds that the request may take, 0 if it does not say; None when FastAPI must have a look."""
        is_json, length, within = False, b"", 0
        for name, value in headers:
            if name == b"content-type":
                is_json = value == _JSON or value.startswith(_JSON + b";")
            elif name == b"content-length":
                length = value
            elif name == b"x-request-timeout-ms":
                if not value.isdigit() or within or not 1 <= int(value) <= LONGEST_TIMEOUT_MS:
                    return None
                within = int(value)
        fits = length.isdigit() and int(length) <= self._max_body_bytes
        return within if is_json and fits else None


def _asked(body: bytes) -> _Asked | None:
    """The texts of a body that is right in every way; None when FastAPI must say what is wrong, or left out."""
    try:
        sent = orjson.loads(body)  # also refuses half of a surrogate pair
    except orjson.JSONDecodeError:
        return None
    if type(sent) is not dict or len(sent) != 1:
        return None
    if _is_readable(text := sent.get("text")):
        return _Asked([text], is_one=True)
    texts = sent.get("texts")
    if type(texts) is list and texts and all(map(_is_readable, texts)):
        return _Asked(texts, is_one=False)
    return None


def _is_readable(text: Any) -> TypeGuard[str]:
    return type(text) is str and text != "" and not text.isspace()


async def _answered(
    service: Service, receive: Receive, slot: SlotName, asked: _Asked, within: float | None
) -> bytes | None:
    try:
        serving, answers = await answer(service, receive, slot, asked.texts, within=within)
    except ClientLeft:
        return None
    found = [as_json(one, serving) for one in answers]
    return orjson.dumps(found[0] if asked.is_one else {"predictions": found})
