"""Every refusal leaves as an RFC 9457 problem with a stable code and a sentence that says what to do."""

import json
import math
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from sentops_core import trace_context
from sentops_core.domain import errors

log = structlog.get_logger()

_STATUS: dict[type[errors.PlatformError], HTTPStatus] = {
    errors.InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnsupportedFormat: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.Overloaded: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ArtifactError: HTTPStatus.UNPROCESSABLE_ENTITY,
}

PROBLEM_RESPONSES: dict[int | str, dict[str, object]] = {
    "4XX": {"description": "RFC 9457 problem: `code` is stable, `detail` says what to do."},
    "503": {"description": "RFC 9457 problem with `retry-after`."},
}


def status_of(error: errors.PlatformError) -> HTTPStatus:
    """The nearest ancestor in the table decides, so a new error needs no new row."""
    for kind in type(error).__mro__:
        if kind in _STATUS:
            return _STATUS[kind]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    headers: dict[str, str] | None = None,
    **members: object,
) -> JSONResponse:
    """One application/problem+json answer; extra members (such as `errors`) are added as they are.

    `trace_id` is what a person can quote: our log lines of this request have it too.
    """
    trace = trace_context.current()
    body = {
        "type": f"urn:sentops:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        **({"trace_id": trace.trace_id} if trace is not None else {}),
        **members,
    }
    return JSONResponse(body, status, headers, media_type="application/problem+json")


async def on_platform_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, errors.PlatformError)  # noqa: S101 - narrows the handler's type
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after.total_seconds()))
    if isinstance(error, errors.Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    return problem(status_of(error), error.code, str(error), headers=headers, **error.details)


async def on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - narrows the handler's type
    found = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        return problem(400, "invalid_json", "The body is not valid JSON; check quotes and commas.")
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    body_refused = any(one["loc"][:1] == ("body",) for one in found)
    if (
        body_refused
        and content_type
        not in {"application/json", "multipart/form-data", "application/x-www-form-urlencoded"}
        and not content_type.endswith("+json")
    ):
        return problem(
            415,
            "unsupported_media_type",
            "Send the body as JSON with the header 'content-type: application/json'.",
        )
    fields = [
        {
            "field": ".".join(str(part) for part in one["loc"] if part != "body"),
            "message": one["msg"],
        }
        for one in found
    ]
    first = fields[0]
    where = f"{first['field']}: " if first["field"] else ""
    return problem(422, "invalid_input", f"{where}{first['message']}", errors=json_safe(fields))


def json_safe(value: object) -> object:
    """Validation messages can hold lone surrogates from broken input, which JSON output refuses."""
    return json.loads(json.dumps(value, default=str).encode("utf-8", "replace"))


async def on_http_exception(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - narrows the handler's type
    if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        code = errors.TooLarge.code
    else:
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    return problem(error.status_code, code, str(error.detail), headers=dict(error.headers or {}))


async def on_unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("request_failed", path=request.url.path, exc_info=error)
    return problem(
        500, "internal", "Something broke on our side; it has been logged. Try again in a moment."
    )


def add_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(errors.PlatformError, on_platform_error)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(Exception, on_unexpected)
