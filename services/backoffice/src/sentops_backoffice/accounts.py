"""Staff accounts: passwords hashed with argon2id, and checked without saying which part was wrong."""

import asyncio
from datetime import UTC, datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from sentops_backoffice.sentences import said
from sentops_core.domain.errors import Conflict, InvalidInput
from sentops_core.store.audit import Audit
from sentops_core.store.pool import Connection
from sentops_core.store.tokens import Role
from sentops_core.store.users import NewSession, Sessions, User, Users

SESSION_LIFE = timedelta(hours=12)
SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 1000
FIRST_ADMIN = "admin"

_HASHER = PasswordHasher()
_AT_ONCE = 2  # each check takes 64 MiB


class Passwords:
    """Hashing off the event loop, a few at a time."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(_AT_ONCE)
        # Checked when there is no such account, so that guessing a name takes as long as guessing a password.
        self._nobody = _HASHER.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        async with self._turn:
            return await asyncio.to_thread(_HASHER.hash, password)

    async def matches(self, password: str, known: str | None) -> bool:
        """`known` is the stored hash; None is matched by nothing, and takes as long."""
        async with self._turn:
            right = await asyncio.to_thread(_matches, password, known or self._nobody)
        return right and known is not None


def _matches(password: str, known: str) -> bool:
    try:
        return _HASHER.verify(known, password)
    except (VerificationError, InvalidHashError):
        return False


def check_new_password(name: str, password: str) -> None:
    """InvalidInput with what is wrong with it."""
    if len(password) < SHORTEST_PASSWORD:
        sentence = f"A password has at least {SHORTEST_PASSWORD} characters."
        raise said(InvalidInput(sentence), "account.too_short", shortest=SHORTEST_PASSWORD)
    if len(password) > LONGEST_PASSWORD:
        sentence = f"A password has at most {LONGEST_PASSWORD} characters."
        raise said(InvalidInput(sentence), "account.too_long", longest=LONGEST_PASSWORD)
    if password.strip().casefold() == name.casefold() or len(set(password)) < 4:
        raise said(InvalidInput("This password is too easy to guess."), "account.too_easy")


async def create_user(
    connection: Connection, name: str, password: str, role: Role, *, actor: str = "setup"
) -> User:
    """An account that must change its password at the first login. Conflict when the name is taken."""
    check_new_password(name, password)
    password_hash = await asyncio.to_thread(_HASHER.hash, password)
    user = await Users(connection).create(name, password_hash, role)
    await Audit(connection).record(actor, "user.created", name, {"role": role})
    return user


async def create_first_admin(connection: Connection, password: str) -> None:
    """Makes `admin` if there is no account at all; otherwise changes nothing."""
    if await Users(connection).by_name():
        return
    try:
        await create_user(connection, FIRST_ADMIN, password, Role.ADMIN)
    except Conflict:  # another process was quicker
        return


async def authenticate(
    connection: Connection, passwords: Passwords, name: str, password: str
) -> User | None:
    """The account, or None when name or password is wrong or the account is disabled."""
    user = await Users(connection).get(name)
    usable = user is not None and not user.disabled
    right = await passwords.matches(password, user.password_hash if user and usable else None)
    return user if right else None


async def start_session(
    connection: Connection, name: str, *, replacing: str | None, user_agent: str
) -> NewSession:
    """Always a new one: a cookie planted before the login is worth nothing after it."""
    sessions = Sessions(connection)
    now = datetime.now(UTC)
    await sessions.drop_expired(now)
    if replacing:
        await sessions.end(replacing)
    return await sessions.start(name, expires_at=now + SESSION_LIFE, user_agent=user_agent)
