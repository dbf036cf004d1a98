"""Bodies are bounded before anything reads them."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sentops_core.http.errors import problem


class BodyLimit:
    """ASGI middleware: refuses with 413 what says, or turns out, to be longer than `max_bytes`."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._detail = (
            f"The body is larger than the {max_bytes:,} bytes accepted here; send it in parts."
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._max_bytes:
            await problem(413, "too_large", self._detail)(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                # Raised inside the route's own reading, where FastAPI lets only HTTP exceptions through.
                raise HTTPException(413, self._detail)
            return message

        await self._app(scope, counted, send)
