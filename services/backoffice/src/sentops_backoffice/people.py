"""What admins do with the accounts of others; pages and API share it, and each deed is written down."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from sentops_backoffice.accounts import Passwords, create_user
from sentops_backoffice.sentences import said
from sentops_core.domain.errors import Conflict, InvalidInput, NotFound
from sentops_core.store.audit import Audit
from sentops_core.store.pool import Connection
from sentops_core.store.tokens import Role
from sentops_core.store.users import OpenSession, Sessions, User, Users

LONGEST_NAME = 60


@dataclass(frozen=True)
class FirstPassword:
    """Shown once; whoever logs in with it must choose another."""

    user: User
    password: str


async def make_user(connection: Connection, name: str, role: str, *, actor: str) -> FirstPassword:
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not _plain(name):
        raise said(
            InvalidInput(f"A name has letters, digits, dots and hyphens, {LONGEST_NAME} at most."),
            "users.bad_name",
            longest=LONGEST_NAME,
        )
    wanted = role_of(role)
    password = secrets.token_urlsafe(12)
    try:
        user = await create_user(connection, name, password, wanted, actor=actor)
    except Conflict as error:
        raise said(error, "users.taken", name=name) from error
    return FirstPassword(user, password)


def role_of(text: str) -> Role:
    if text not in set(Role):
        raise said(
            InvalidInput(f"The role is one of {', '.join(Role)}."),
            "users.bad_role",
        )
    return Role(text)


async def one_user(connection: Connection, name: str) -> User:
    found = await Users(connection).get(name)
    if found is None:
        raise said(NotFound(f"There is no user {name[:100]!r}."), "users.unknown", name=name[:100])
    return found


async def set_role(connection: Connection, name: str, role: Role, *, actor: str) -> User:
    before = await _another(connection, name, actor)
    user = await Users(connection).set_role(name, role)
    await _require_an_admin(connection)
    await Audit(connection).record(
        actor, "user.role_changed", name, {"before": before.role, "after": role}
    )
    return user


async def set_disabled(connection: Connection, name: str, *, disabled: bool, actor: str) -> User:
    """A disabled account is out at once; what it did stays under its name."""
    await _another(connection, name, actor)
    user = await Users(connection).set_disabled(name, disabled=disabled)
    await _require_an_admin(connection)
    action = "user.disabled" if disabled else "user.enabled"
    await Audit(connection).record(actor, action, name)
    return user


async def reset_password(
    connection: Connection, passwords: Passwords, name: str, *, actor: str
) -> FirstPassword:
    """A new first password; every session of the account ends."""
    await _another(connection, name, actor)
    password = secrets.token_urlsafe(12)
    user = await Users(connection).set_password(
        name, await passwords.hash(password), must_change_password=True
    )
    await Audit(connection).record(actor, "user.password_reset", name)
    return FirstPassword(user, password)


async def open_sessions(connection: Connection, name: str) -> list[OpenSession]:
    return await Sessions(connection).of_user(name, now=datetime.now(UTC))


async def end_session(connection: Connection, name: str, session_id: str, *, actor: str) -> None:
    """NotFound when it is over already, so that nobody believes to have ended what they did not."""
    if not await Sessions(connection).end_one(name, session_id):
        raise said(NotFound("This session is over already."), "account.session_over")
    await Audit(connection).record(actor, "user.session_ended", name)


async def end_sessions(connection: Connection, name: str, *, actor: str) -> int:
    await one_user(connection, name)
    ended = await Sessions(connection).end_all(name)
    await Audit(connection).record(actor, "user.sessions_ended", name, {"sessions": ended})
    return ended


async def end_other_sessions(connection: Connection, name: str, secret: str) -> int:
    """All of one's own but the one in use."""
    ended = await Sessions(connection).end_others(name, secret)
    await Audit(connection).record(name, "user.sessions_ended", name, {"sessions": ended})
    return ended


async def _another(connection: Connection, name: str, actor: str) -> User:
    if name == actor:
        raise said(
            Conflict("Nobody changes their own account here: ask another admin."), "users.own"
        )
    return await one_user(connection, name)


async def _require_an_admin(connection: Connection) -> None:
    """Two admins who disable each other at once would leave nobody."""
    if not await Users(connection).active_admins():
        raise said(Conflict("Somebody must remain who is an admin."), "users.last_admin")


def _plain(name: str) -> bool:
    return name.replace(".", "").replace("-", "").isalnum()
