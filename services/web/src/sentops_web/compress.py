"""Pages, scripts and answers travel compressed; tables that grow while they are read do not, so that progress is seen.

A page never holds both a secret and something that another site chose, so its size tells nobody anything.
"""

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

_STREAMED = frozenset({"/api/predict/csv", "/many"})
_WORTH_IT = 500  # bytes


class Compress:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._compressed = GZipMiddleware(app, minimum_size=_WORTH_IT, compresslevel=6)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app if scope.get("path") in _STREAMED else self._compressed
        await app(scope, receive, send)
