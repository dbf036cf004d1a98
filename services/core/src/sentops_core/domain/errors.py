"""What can go wrong, as meanings. Each edge maps them once: HTTP to a status, kopf to temporary or permanent."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType

_NO_FACTS: Mapping[str, object] = MappingProxyType({})


class PlatformError(Exception):
    """Base of every error we raise on purpose; `retry_after is None` means trying again will not help.

    `saying` names the sentence for pages in other languages (their word `problem.<saying>`), `facts` fill it in.
    """

    code = "internal"
    retry_after: timedelta | None = None

    def __init__(
        self,
        message: str,
        *,
        details: dict[str, object] | None = None,
        saying: str = "",
        facts: Mapping[str, object] = _NO_FACTS,
    ) -> None:
        super().__init__(message)
        self.details = details or {}
        self.saying = saying
        self.facts = facts


class InvalidInput(PlatformError):
    """What was sent cannot be used; the message says what to change."""

    code = "invalid_input"


class Unauthenticated(PlatformError):
    """Nobody proved who they are."""

    code = "unauthenticated"


class Forbidden(PlatformError):
    """Known, but not allowed."""

    code = "forbidden"


class NotFound(PlatformError):
    """No such thing; the message names it."""

    code = "not_found"


class Conflict(PlatformError):
    """The thing is in a state that does not allow this."""

    code = "conflict"


class TooLarge(PlatformError):
    """More bytes, rows or texts than accepted."""

    code = "too_large"


class UnsupportedFormat(PlatformError):
    """A file or body of a kind we do not read."""

    code = "unsupported_format"


class Overloaded(PlatformError):
    """A bounded queue is full, or a client asks too often."""

    code = "overloaded"
    retry_after = timedelta(seconds=1)


class Unavailable(PlatformError):
    """Something we need is away for now."""

    code = "unavailable"
    retry_after = timedelta(seconds=5)


class ArtifactError(PlatformError):
    """An artefact is missing, truncated, of another digest, or does not answer as it promised."""

    code = "artifact_invalid"
