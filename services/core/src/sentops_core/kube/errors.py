"""What the API server answers, as meanings."""

import json
from datetime import timedelta

from sentops_core.domain.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    Overloaded,
    PlatformError,
    Unavailable,
)

_MEANINGS: dict[int, type[PlatformError]] = {
    400: InvalidInput,
    # A projected token that was just rotated reads as 401 once; asking again helps.
    401: Unavailable,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    # A list whose pages took too long to read; begun anew it works.
    410: Unavailable,
    422: InvalidInput,
    429: Overloaded,
}


def to_error(status: int, body: bytes, retry_after: str | None, what: str) -> PlatformError:
    """The error for a refused call; its message is the API server's own sentence."""
    kind = _MEANINGS.get(status, Unavailable if status >= 500 else InvalidInput)
    error = kind(f"{what}: {_sentence(body) or f'the API server answers {status}'}")
    if error.retry_after is not None and retry_after is not None and retry_after.isdigit():
        error.retry_after = timedelta(seconds=int(retry_after))
    return error


def _sentence(body: bytes) -> str:
    try:
        document = json.loads(body)
    except ValueError:
        return body[:300].decode(errors="replace").strip()
    message = document.get("message") if isinstance(document, dict) else None
    return message if isinstance(message, str) else ""
