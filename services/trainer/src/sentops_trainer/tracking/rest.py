"""Requests to MLflow, and what its errors mean: the server is of no use just now, or one request was refused."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx

from sentops_core.domain.errors import PlatformError, Unavailable

# More than MLflow takes to answer; the HTTP client's own timeouts only count the pauses between two bytes.
CALL_SECONDS = 30.0
_WHAT_TO_DO = {
    401: "put its user and password into SENTOPS_TRAINER_MLFLOW_URL (http://user:password@host)",
    403: "list the name that we call it by, with and without port, in its --allowed-hosts "
    "(MLFLOW_SERVER_ALLOWED_HOSTS); if it has users, let ours write",
    429: "it wants fewer requests; we go on later",
}
_NO_MLFLOW = "check SENTOPS_TRAINER_MLFLOW_URL: is this an MLflow server?"


class MlflowAway(Unavailable):
    """No use in asking for anything else just now; `kind` says in a word what is wrong."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class MlflowRefusal(PlatformError):
    """This request got an error; others may be fine. `answer` is MLflow's own error code."""

    code = "mlflow_refusal"

    def __init__(self, message: str, *, answer: str = "") -> None:
        super().__init__(message)
        self.answer = answer


class Rest:
    """Every request ends within a known time."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def look(self, path: str, **asked: str) -> dict[str, Any] | None:
        """None where there is no such thing."""
        try:
            return await self.call("GET", path, params=asked)
        except MlflowRefusal as refusal:
            if refusal.answer != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    async def call(
        self, method: str, path: str, body: Mapping[str, object] | None = None, **options: Any
    ) -> dict[str, Any]:
        return await self.send(method, f"/api/2.0/mlflow/{path}", json=body, **options)

    async def send(
        self, method: str, path: str, *, limit: float = CALL_SECONDS, **options: Any
    ) -> dict[str, Any]:
        try:
            async with asyncio.timeout(limit):
                answer = await self._http.request(method, path, **options)
        except (TimeoutError, httpx.TimeoutException) as error:
            message = f"MLflow did not answer {method} {path} in time; look at its log and load."
            raise MlflowAway("slow", message) from error
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            message = f"MLflow cannot be reached ({why}); start it, or check its address."
            raise MlflowAway("unreachable", message) from error
        return _read(answer)


def _read(answer: httpx.Response) -> dict[str, Any]:
    try:
        document = answer.json() if answer.content else {}
    except ValueError:
        document = None
    said = document.get("error_code") if isinstance(document, dict) else None
    if answer.is_success and isinstance(document, dict):
        return document
    status = answer.status_code
    what = f"{answer.request.method} {answer.request.url.path}"
    told = document["message"] if said and isinstance(document, dict) else answer.text
    why = " ".join(str(told).split())[:300]
    if (said and status not in _WHAT_TO_DO) or status == 400 or status >= 500:
        raise MlflowRefusal(f"MLflow answers {said or status} to {what}: {why}", answer=said or "")
    advice = _WHAT_TO_DO.get(status, _NO_MLFLOW)
    raise MlflowAway(f"answers_{status}", f"MLflow answers {status} ({why}): {advice}")


def open_http(url: str) -> httpx.AsyncClient:
    """Connections of the mirror's own: few, and quick to give up."""
    return httpx.AsyncClient(
        base_url=url,
        timeout=httpx.Timeout(10, connect=5),
        limits=httpx.Limits(max_connections=2),
        trust_env=False,
    )
