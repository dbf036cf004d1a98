"""The ordinary request for one text's label, answered ahead of FastAPI, whose ways cost as much as a small model's work.

What is ordinary is read here: POST to /api/predict, JSON of a known and moderate length, one `text`, a client that is
named once. Everything else, also all that is wrong with a body, goes on unread, so that there is one place that judges
and explains. The contract is the route's alone (`routes/predictions.py`); a test holds the two to the same answers.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from sentops_core.http.ahead import again, answer_ahead, content_of, read_ahead
from sentops_core.store.predictions import PredictionRow
from sentops_web.answering import readable
from sentops_web.deps import Parts
from sentops_web.guard import RAW_HEADERS
from sentops_web.identity import COOKIE, HEADER, client_by

_PATH = "/api/predict"
_LONGEST_BODY = (
    100_000  # the longest text spelled out in escapes fits; what does not is not worth the hurry
)
_WATCH_AFTER_SECONDS = (
    0.05  # most answers are there sooner; only for others it is worth a task to watch for leaving
)
_JSON = b"application/json"
_COOKIE, _HEADER = COOKIE.encode(), HEADER.encode()
_READ = frozenset(
    {b"content-type", b"content-length", b"sec-fetch-site", b"origin", b"cookie", _HEADER}
)


@dataclass(frozen=True)
class _Route:
    """What the request metrics are told of, as of a route of FastAPI's."""

    path: str


_ROUTE = _Route(_PATH)


@dataclass(frozen=True)
class _Asker:
    header: str | None
    cookie: str


class DirectPredict:
    """ASGI layer in front of the app."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app = app
        self._longest = min(max_body_bytes, _LONGEST_BODY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != _PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        asker = self._ordinary(scope["headers"])
        if asker is None:
            await self._app(scope, receive, send)
            return
        messages = await read_ahead(receive)
        text = _text_of(content_of(messages))
        if text is None:
            await self._app(scope, again(messages, receive), send)
            return
        scope["route"] = _ROUTE
        body = _answered(scope["state"]["parts"], scope, receive, asker, text)
        await answer_ahead(scope, receive, send, body, RAW_HEADERS)

    def _ordinary(self, headers: list[tuple[bytes, bytes]]) -> _Asker | None:
        """Who asks; None when FastAPI and what stands before it must have a look."""
        said: dict[bytes, bytes] = {}
        for name, value in headers:
            if name in _READ:
                if name in said:
                    return None
                said[name] = value
        media_type = said.get(b"content-type", b"")
        if media_type != _JSON and not media_type.startswith(_JSON + b";"):
            return None
        length = said.get(b"content-length", b"")
        if not length.isdigit() or int(length) > self._longest or _is_of_a_page(said):
            return None
        header, cookies = said.get(_HEADER), said.get(b"cookie", b"")
        return _Asker(
            None if header is None else header.decode("latin-1"),
            _our_cookie(cookies) if cookies else "",
        )


def _is_of_a_page(said: dict[bytes, bytes]) -> bool:
    """Of a page that may be another site's: the guard judges."""
    fetch_site = said.get(b"sec-fetch-site")
    if fetch_site is not None:
        return fetch_site not in {b"same-origin", b"none"}
    return b"origin" in said


def _our_cookie(cookies: bytes) -> str:
    return cookie_parser(cookies.decode("latin-1")).get(COOKIE, "") if _COOKIE in cookies else ""


def _text_of(body: bytes) -> str | None:
    """The text of a body that is right in every way; None when FastAPI must say what is wrong with it."""
    try:
        sent = orjson.loads(body)  # also refuses half of a surrogate pair
    except orjson.JSONDecodeError:
        return None
    if type(sent) is not dict or len(sent) != 1:
        return None
    text = sent.get("text")
    return text if type(text) is str else None


async def _answered(
    parts: Parts, scope: Scope, receive: Receive, asker: _Asker, text: str
) -> bytes | None:
    row = await _unless_left(parts, scope, receive, asker, text)
    return None if row is None else orjson.dumps(_as_json(row, parts))


async def _unless_left(
    parts: Parts, scope: Scope, receive: Receive, asker: _Asker, text: str
) -> PredictionRow | None:
    """The recorded answer; None when its client has left before."""
    peer = scope.get("client")
    client = client_by(asker.header, asker.cookie, peer[0] if peer else None, parts.signer)
    clean = readable(text, parts.answering.limits)
    parts.spend_texts(client, 1)
    watch = _Watch(receive)
    try:
        (row,) = await parts.answering.answer([clean], client.key)
    except asyncio.CancelledError:
        if not watch.left:
            raise
        return None
    finally:
        watch.stop()
    return row


class _Watch:
    """Cancels the current task when its client leaves; begins to look when the answer is slow."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._asking = asyncio.current_task()
        self._looking: asyncio.Task[None] | None = None
        self.left = False
        self._timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_SECONDS, self._begin)

    def stop(self) -> None:
        self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()

    def _begin(self) -> None:
        self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._asking is not None:
            self.left = True
            self._asking.cancel()


def _as_json(row: PredictionRow, parts: Parts) -> dict[str, Any]:
    """Field by field as `routes.predictions.Prediction`, whose validation the model's answer has passed already."""
    return {
        "prediction_id": parts.signer.prediction_id(row.id),
        "label": row.label,
        "score": row.score,
        "scores": row.scores,
        "model_version": row.model_version,
        "language": row.language,
        "truncated": row.truncated,
        "path": row.path,
    }
