"""Bearer tokens: compared as SHA-256 hashes in constant time, never logged."""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr

from sentops_core.domain.errors import Unauthenticated

_scheme = HTTPBearer(
    auto_error=False, description="The token that `sentops up` or the chart generated."
)


def hash_token(token: str) -> bytes:
    """What is stored in place of a token; tokens are 256 random bits, so no slow hash is needed."""
    return hashlib.sha256(token.encode()).digest()


async def bearer_token(
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_scheme)],
) -> str:
    """The presented token, not yet checked."""
    if credentials is None:
        raise Unauthenticated("This needs the header 'Authorization: Bearer <token>'.")
    return credentials.credentials


class BearerTokens:
    """A dependency that lets only holders of one of these tokens pass: `Depends(BearerTokens([...]))`."""

    def __init__(self, tokens: Iterable[SecretStr]) -> None:
        self._hashes = tuple(hash_token(token.get_secret_value()) for token in tokens)

    async def __call__(
        self, request: Request, presented: Annotated[str, Depends(bearer_token)]
    ) -> None:
        if not self.knows(presented):
            raise Unauthenticated("This token is not known here; it may have been replaced.")
        request.state.actor = "token"

    def knows(self, presented: str) -> bool:
        presented_hash = hash_token(presented)
        return any(hmac.compare_digest(presented_hash, known) for known in self._hashes)
