"""Staff accounts and their sessions, as rows; hashing passwords is the backoffice's affair."""

import secrets
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from sentops_core.domain.errors import Conflict, NotFound
from sentops_core.store.pool import Connection
from sentops_core.store.tokens import Role, hash_secret


@dataclass(frozen=True)
class User:
    name: str
    password_hash: str
    role: Role
    must_change_password: bool
    disabled: bool
    created_at: datetime


@dataclass(frozen=True)
class Session:
    user_name: str
    role: Role
    csrf_token: str
    must_change_password: bool
    expires_at: datetime


@dataclass(frozen=True)
class OpenSession:
    """`id` names it for ending it; it is of no use as a cookie."""

    id: str
    user_agent: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class NewSession:
    """`secret` goes into the cookie; only its hash is kept."""

    secret: str
    csrf_token: str
    expires_at: datetime


_CREATE = """
INSERT INTO users (name, password_hash, role, must_change_password)
VALUES ($1, $2, $3, $4)
    ON CONFLICT (name) DO NOTHING
RETURNING name, password_hash, role, must_change_password, disabled, created_at
"""
_GET = """
SELECT name, password_hash, role, must_change_password, disabled, created_at
  FROM users
 WHERE name = $1
"""
_LIST = """
SELECT name, password_hash, role, must_change_password, disabled, created_at
  FROM users
 WHERE name > $1
 ORDER BY name
 LIMIT $2
"""
_SET_HASH = """
UPDATE users
   SET password_hash = $2, must_change_password = $3
 WHERE name = $1
RETURNING name, password_hash, role, must_change_password, disabled, created_at
"""
_SET_ROLE = """
UPDATE users
   SET role = $2
 WHERE name = $1
RETURNING name, password_hash, role, must_change_password, disabled, created_at
"""
_SET_DISABLED = """
UPDATE users
   SET disabled = $2
 WHERE name = $1
RETURNING name, password_hash, role, must_change_password, disabled, created_at
"""
_START = """
INSERT INTO sessions (token_hash, user_name, csrf_token, user_agent, expires_at)
VALUES ($1, $2, $3, $4, $5)
"""
_FIND = """
SELECT s.user_name, u.role, s.csrf_token, u.must_change_password, s.expires_at
  FROM sessions s
  JOIN users u ON u.name = s.user_name
 WHERE s.token_hash = $1 AND s.expires_at > $2 AND NOT u.disabled
"""
_END = "DELETE FROM sessions WHERE token_hash = $1"
_END_ALL = "DELETE FROM sessions WHERE user_name = $1"
_OF_USER = """
SELECT encode(token_hash, 'hex') AS id, user_agent, created_at, expires_at
  FROM sessions
 WHERE user_name = $1 AND expires_at > $2
 ORDER BY created_at DESC, id
"""
_END_ONE = """
WITH ended AS (
    DELETE FROM sessions WHERE user_name = $1 AND encode(token_hash, 'hex') = $2 RETURNING 1
)
SELECT count(*) FROM ended
"""
_END_OTHERS = """
WITH ended AS (
    DELETE FROM sessions WHERE user_name = $1 AND token_hash <> $2 RETURNING 1
)
SELECT count(*) FROM ended
"""
_END_EVERY = """
WITH ended AS (DELETE FROM sessions WHERE user_name = $1 RETURNING 1)
SELECT count(*) FROM ended
"""
# Held to the end of the transaction, so that two admins cannot take the role from each other at once.
_TAKE_TURNS = "SELECT pg_advisory_xact_lock(hashtext('users'))"
_ACTIVE_ADMINS = "SELECT count(*) FROM users WHERE role = 'admin' AND NOT disabled"
_DROP_EXPIRED = """
WITH dropped AS (DELETE FROM sessions WHERE expires_at <= $1 RETURNING 1)
SELECT count(*) FROM dropped
"""


class Users:
    """The users table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def create(
        self, name: str, password_hash: str, role: Role, *, must_change_password: bool = True
    ) -> User:
        row = await self._connection.fetchrow(
            _CREATE, name, password_hash, role.value, must_change_password
        )
        if row is None:
            raise Conflict(f"There is a user {name} already.")
        return _to_user(row)

    async def get(self, name: str) -> User | None:
        row = await self._connection.fetchrow(_GET, name)
        return None if row is None else _to_user(row)

    async def by_name(self, *, after: str = "", limit: int | None = None) -> list[User]:
        """`after` is the last name of the page already seen."""
        return [_to_user(row) for row in await self._connection.fetch(_LIST, after, limit)]

    async def set_password(
        self, name: str, password_hash: str, *, must_change_password: bool = False
    ) -> User:
        """The new hash; every session of the user ends."""
        await self._connection.execute(_END_ALL, name)
        return await self._change(_SET_HASH, name, password_hash, must_change_password)

    async def active_admins(self) -> int:
        """How many there are; nobody else changes that before the caller's transaction ends."""
        await self._connection.execute(_TAKE_TURNS)
        count: int = await self._connection.fetchval(_ACTIVE_ADMINS)
        return count

    async def set_role(self, name: str, role: Role) -> User:
        return await self._change(_SET_ROLE, name, role.value)

    async def set_disabled(self, name: str, *, disabled: bool) -> User:
        """A disabled user's sessions stop working at once."""
        return await self._change(_SET_DISABLED, name, disabled)

    async def _change(self, statement: str, name: str, *values: object) -> User:
        row = await self._connection.fetchrow(statement, name, *values)
        if row is None:
            raise NotFound(f"There is no user {name}.")
        return _to_user(row)


class Sessions:
    """The sessions table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def start(
        self, user_name: str, *, expires_at: datetime, user_agent: str = ""
    ) -> NewSession:
        secret, csrf_token = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        await self._connection.execute(
            _START, hash_secret(secret), user_name, csrf_token, user_agent[:200], expires_at
        )
        return NewSession(secret, csrf_token, expires_at)

    async def find(self, secret: str, *, now: datetime) -> Session | None:
        """The session of a cookie; None when unknown, expired, or its user is disabled."""
        row = await self._connection.fetchrow(_FIND, hash_secret(secret), now)
        return None if row is None else Session(**{**row, "role": Role(row["role"])})

    async def end(self, secret: str) -> None:
        await self._connection.execute(_END, hash_secret(secret))

    async def of_user(self, user_name: str, *, now: datetime) -> list[OpenSession]:
        """Those that still work, the newest first."""
        rows = await self._connection.fetch(_OF_USER, user_name, now)
        return [OpenSession(**row) for row in rows]

    async def end_one(self, user_name: str, session_id: str) -> bool:
        """False when the user has no such session (any more)."""
        ended: int = await self._connection.fetchval(_END_ONE, user_name, session_id)
        return ended > 0

    async def end_others(self, user_name: str, secret: str) -> int:
        """All but the one of this cookie; how many that were."""
        ended: int = await self._connection.fetchval(_END_OTHERS, user_name, hash_secret(secret))
        return ended

    async def end_all(self, user_name: str) -> int:
        ended: int = await self._connection.fetchval(_END_EVERY, user_name)
        return ended

    @staticmethod
    def id_of(secret: str) -> str:
        """The `id` of the session that this cookie is for."""
        return hash_secret(secret).hex()

    async def drop_expired(self, now: datetime) -> int:
        dropped: int = await self._connection.fetchval(_DROP_EXPIRED, now)
        return dropped


def _to_user(row: asyncpg.Record) -> User:
    return User(**{**row, "role": Role(row["role"])})
