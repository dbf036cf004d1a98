"""Values that carry their own proof: prediction ids and client cookies, signed with one key."""

import hmac
import re
import secrets
from uuid import UUID

from uuid_utils import uuid7

from sentops_core.domain.errors import NotFound

_PREDICTION_ID = re.compile(r"([0-9a-f]{32})-([0-9a-f]{16})")
_COOKIE = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{32})")


def new_uuid() -> UUID:
    """A UUIDv7: it sorts by time, and its time names the partition."""
    return UUID(bytes=uuid7().bytes)


class Signer:
    """Signs and checks; every comparison takes the same time whatever was sent."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def _mac(self, purpose: str, message: bytes) -> str:
        # Prediction ids keep the bare form other programs can check; the rest names its purpose.
        content = message if purpose == "prediction" else purpose.encode() + b"\0" + message
        return hmac.digest(self._key, content, "sha256").hex()

    def prediction_id(self, identity: UUID) -> str:
        return f"{identity.hex}-{self._mac('prediction', identity.bytes)[:16]}"

    def open_prediction_id(self, text: str) -> UUID:
        """The UUID inside; NotFound for anything that this installation did not issue."""
        match = _PREDICTION_ID.fullmatch(text)
        identity = UUID(hex=match[1]) if match else UUID(int=0)
        expected = self._mac("prediction", identity.bytes)[:16]
        if match is None or not hmac.compare_digest(match[2], expected):
            raise NotFound(
                "No such prediction: use a prediction_id exactly as /api/predict answered it."
            )
        return identity

    def new_cookie(self) -> str:
        identity = secrets.token_hex(16)
        return f"{identity}.{self._mac('cookie', identity.encode())[:32]}"

    def open_cookie(self, text: str) -> str | None:
        """The random identity inside, or None for a cookie that is not ours."""
        match = _COOKIE.fullmatch(text)
        if match is None:
            return None
        expected = self._mac("cookie", match[1].encode())[:32]
        return match[1] if hmac.compare_digest(match[2], expected) else None

    def pseudonym(self, purpose: str, value: str) -> str:
        """The same value gives the same name, which leads back to it only with the key."""
        return self._mac(purpose, value.encode())[:32]
