"""What every answer and every request has in common: headers, size of bodies, errors as pages."""

import asyncio
from contextlib import suppress
from urllib.parse import quote

import asyncpg
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sentops_backoffice.access import API, PASSWORD_PAGE, NewPasswordNeeded
from sentops_backoffice.page import Page
from sentops_backoffice.sentences import said, sentence_of
from sentops_core.domain.errors import InvalidInput, PlatformError, Unauthenticated
from sentops_core.http.errors import (
    on_http_exception,
    on_invalid_request,
    on_platform_error,
    status_of,
)
from sentops_core.http.limits import BodyLimit

log = structlog.get_logger()

UPLOADS = {
    "/backoffice/api/datasets",
    "/backoffice/api/datasets/uploads",
    "/backoffice/datasets/uploads",
}
_ORDINARY_BODY = 200_000
_LINGERING_SECONDS = 5.0
_HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
}


class SecurityHeaders:
    """ASGI middleware: pages run only our own scripts, and what they show is not kept in caches."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers)


class OnlyUploadsAreLarge:
    """ASGI middleware: every other body is a form or a small document.

    An upload from a page that says to be too large gets a page, before anything of it is read; the API's own limit
    stands behind.
    """

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self._large = app
        self._small = BodyLimit(app, _ORDINARY_BODY)
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_upload = scope["type"] == "http" and scope["path"] in UPLOADS
        if is_upload and _declared_bytes(scope) > self._most_bytes:
            request = Request(scope)
            if _is_page(request):
                await self._refuse(request, receive, send)
                return
        await (self._large if is_upload else self._small)(scope, receive, send)

    async def _refuse(self, request: Request, receive: Receive, send: Send) -> None:
        page = Page(request, request.state.parts)
        response = _page(page, 413, page.words("error.413"))
        start, body = response.raw_headers, response.body
        await send({"type": "http.response.start", "status": 413, "headers": start})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        # The answer is complete by its length. A connection closed at once, with bytes of the body still coming,
        # would be reset, and the answer lost with it.
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGERING_SECONDS):
                while (await receive()).get("more_body"):
                    pass
        await send({"type": "http.response.body", "body": b""})


def _declared_bytes(scope: Scope) -> int:
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    return int(declared) if declared.isdigit() else 0


def add_error_pages(app: FastAPI) -> None:
    """People get a page with the same sentence that programs get as a problem document."""
    app.add_exception_handler(PlatformError, _on_platform_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(asyncpg.DataError, _on_impossible_value)
    app.add_exception_handler(ClientDisconnect, _on_leaving)


def _is_page(request: Request) -> bool:
    path = request.url.path
    return path.startswith("/backoffice") and not path.startswith(API)


async def _on_platform_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PlatformError)  # noqa: S101 - narrows the handler's type
    if not _is_page(request):
        return await on_platform_error(request, error)
    if isinstance(error, NewPasswordNeeded):
        return RedirectResponse(PASSWORD_PAGE, 303)
    if isinstance(error, Unauthenticated):
        wanted = request.url.path if request.method == "GET" else "/backoffice/index"
        return RedirectResponse(f"/backoffice/login?next={quote(wanted)}", 303)
    page = Page(request, request.state.parts)
    return _page(page, status_of(error), sentence_of(error, page.words))


async def _on_leaving(request: Request, _: Exception) -> Response:
    """Somebody stopped an upload, or their line broke: nobody reads the answer, and nothing of ours is wrong."""
    log.info("client_left", path=request.url.path)
    return Response(status_code=400)


async def _on_impossible_value(request: Request, _: Exception) -> Response:
    """What no column can hold and no field rules out by itself, wherever in the request it stood."""
    error = said(
        InvalidInput(
            "The database cannot hold a value of this request: leave NUL characters and far too large numbers out."
        ),
        "error.impossible_value",
    )
    return await _on_platform_error(request, error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - narrows the handler's type
    if not _is_page(request):
        return await on_http_exception(request, error)
    page = Page(request, request.state.parts)
    key = f"error.{error.status_code}"
    sentence = page.words(key) if page.words.knows(key) else str(error.detail)
    return _page(page, error.status_code, sentence)


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    """An address that was typed or cut off: our own forms send nothing of the kind."""
    if not _is_page(request):
        return await on_invalid_request(request, error)
    page = Page(request, request.state.parts)
    return _page(page, 422, page.words("error.422"))


def _page(page: Page, status: int, sentence: str) -> Response:
    return page.render("error.html", status=status, sentence=sentence)
