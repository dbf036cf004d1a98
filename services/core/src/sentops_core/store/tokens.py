"""API tokens: shown once, kept as SHA-256 (they are 256 random bits, so no slow hash is needed)."""

import hashlib
import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import asyncpg

from sentops_core.domain.errors import NotFound, Unauthenticated
from sentops_core.store.pool import Connection


class Role(StrEnum):
    """What a person or token may do; each includes the ones before it."""

    VIEWER = "viewer"
    ANNOTATOR = "annotator"
    ADMIN = "admin"

    def covers(self, needed: "Role") -> bool:
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True)
class ApiToken:
    id: UUID
    name: str
    scope: Role
    created_by: str
    created_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True)
class NewApiToken:
    """`secret` is what the holder sends; it cannot be shown again."""

    token: ApiToken
    secret: str


_CREATE = """
INSERT INTO api_tokens (id, name, token_hash, scope, created_by)
VALUES ($1, $2, $3, $4, $5)
RETURNING id, name, scope, created_by, created_at, revoked_at, last_used_at
"""
_FIND = """
SELECT id, name, scope, created_by, created_at, revoked_at, last_used_at
  FROM api_tokens
 WHERE token_hash = $1 AND revoked_at IS NULL
"""
_NEWEST = """
SELECT id, name, scope, created_by, created_at, revoked_at, last_used_at
  FROM api_tokens
 ORDER BY created_at DESC, id
"""
# Nobody needs it to the second, and a write for each request would cost more than the request.
_USED = """
UPDATE api_tokens
   SET last_used_at = now()
 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '15 minutes')
"""
_GET = """
SELECT id, name, scope, created_by, created_at, revoked_at, last_used_at
  FROM api_tokens
 WHERE id = $1
"""
_REVOKE = """
UPDATE api_tokens
   SET revoked_at = coalesce(revoked_at, now())
 WHERE id = $1
RETURNING id, name, scope, created_by, created_at, revoked_at, last_used_at
"""


def hash_secret(secret: str) -> bytes:
    """What is stored in place of a token or cookie; the lookup by it needs no constant time."""
    return hashlib.sha256(secret.encode()).digest()


class ApiTokens:
    """The api_tokens table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def create(self, name: str, scope: Role, *, created_by: str) -> NewApiToken:
        secret = secrets.token_urlsafe(32)
        row = await self._connection.fetchrow(
            _CREATE, uuid.uuid4(), name, hash_secret(secret), scope.value, created_by
        )
        assert row is not None  # noqa: S101 - INSERT ... RETURNING gives a row
        return NewApiToken(_to_token(row), secret)

    async def verify(self, secret: str) -> ApiToken:
        """Unauthenticated for a token that is unknown or revoked; notes that it is in use."""
        row = await self._connection.fetchrow(_FIND, hash_secret(secret))
        if row is None:
            raise Unauthenticated("This token is not known here; it may have been revoked.")
        await self._connection.execute(_USED, row["id"])
        return _to_token(row)

    async def newest(self) -> list[ApiToken]:
        """All tokens ever made, revoked ones too."""
        return [_to_token(row) for row in await self._connection.fetch(_NEWEST)]

    async def get(self, token_id: UUID) -> ApiToken:
        row = await self._connection.fetchrow(_GET, token_id)
        if row is None:
            raise NotFound(f"There is no token {token_id}.")
        return _to_token(row)

    async def revoke(self, token_id: UUID) -> ApiToken:
        """Revoked already is success."""
        row = await self._connection.fetchrow(_REVOKE, token_id)
        if row is None:
            raise NotFound(f"There is no token {token_id}.")
        return _to_token(row)


def _to_token(row: asyncpg.Record) -> ApiToken:
    return ApiToken(**{**row, "scope": Role(row["scope"])})
