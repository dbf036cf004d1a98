"""Who may do what. One dependency on the one guarded router: a new route is covered before it is written.

Without a word of its own, a route that reads needs a viewer and one that changes something needs an admin.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from fastapi.responses import Response

from sentops_backoffice.deps import PartsDep
from sentops_backoffice.forms import read_form
from sentops_backoffice.sentences import said
from sentops_core.domain.errors import Forbidden, Unauthenticated
from sentops_core.http import BearerTokens
from sentops_core.store.pool import transaction
from sentops_core.store.tokens import ApiTokens, Role
from sentops_core.store.users import NewSession, Session, Sessions

COOKIE = "sentops_backoffice"
API = "/backoffice/api/"
PASSWORD_PAGE = "/backoffice/password"  # noqa: S105 - an address
_READING = {"GET", "HEAD"}
_ACTOR = "sentops.actor"
_WITHOUT_NEW_PASSWORD = {PASSWORD_PAGE, "/backoffice/logout"}
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}

Endpoint = TypeVar("Endpoint", bound=Callable[..., object])


@dataclass(frozen=True)
class Actor:
    """`session` is None for a holder of a token."""

    name: str
    role: Role
    session: Session | None = None

    @property
    def csrf(self) -> str:
        return self.session.csrf_token if self.session else ""

    def may(self, role: str) -> bool:
        return self.role.covers(Role(role))


class NewPasswordNeeded(Forbidden):
    """The account still has the password that somebody else chose."""

    code = "new_password_needed"


def needs(role: Role) -> Callable[[Endpoint], Endpoint]:
    """Marks a route with the role it needs."""

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.needed_role = role  # type: ignore[attr-defined]
        return endpoint

    return mark


async def guard(request: Request, parts: PartsDep) -> None:
    """Nothing of the body is read before it is known who sends it."""
    actor = await _actor(request, parts)
    if (
        actor.session
        and actor.session.must_change_password
        and request.url.path not in _WITHOUT_NEW_PASSWORD
    ):
        raise NewPasswordNeeded("Choose a password of your own first, on /backoffice/password.")
    reading = request.method in _READING
    default = Role.VIEWER if reading else Role.ADMIN
    needed: Role = getattr(request.scope["endpoint"], "needed_role", default)
    if not actor.role.covers(needed):
        sentence = f"This needs the role {needed}; yours is {actor.role}."
        raise said(Forbidden(sentence), "error.role", needed=needed, yours=actor.role)
    if actor.session and not reading:
        await _require_csrf(request, actor.session)
    request.scope[_ACTOR] = actor  # not in the state, which servers may share between requests


async def _actor(request: Request, parts: PartsDep) -> Actor:
    scheme, _, presented = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        token = parts.settings.api_token
        if token is not None and BearerTokens([token]).knows(presented.strip()):
            # Its holder is trusted with everything, so also with saying on whose behalf it asks.
            return Actor(request.headers.get("x-sentops-actor", "")[:100] or "api", Role.ADMIN)
        async with transaction(parts.pool) as connection:
            known = await ApiTokens(connection).verify(presented.strip())
        return Actor(f"token:{known.name}", known.scope)
    if cookie := request.cookies.get(COOKIE):
        async with transaction(parts.pool) as connection:
            session = await Sessions(connection).find(cookie, now=datetime.now(UTC))
        if session:
            return Actor(session.user_name, session.role, session)
        raise Unauthenticated("The session has ended: log in again.")
    raise Unauthenticated("Log in first, or send the header 'Authorization: Bearer <token>'.")


async def _require_csrf(request: Request, session: Session) -> None:
    sent = request.headers.get("x-csrf-token") or str((await read_form(request)).get("csrf", ""))
    if not hmac.compare_digest(sent.encode(), session.csrf_token.encode()):
        sentence = "This form is stale or came from another site: load the page again."
        raise said(Forbidden(sentence), "error.stale")


def actor_of(request: Request) -> Actor:
    actor: Actor = request.scope[_ACTOR]
    return actor


def known_actor(request: Request) -> Actor | None:
    """None on pages for everybody, and where nobody was let in."""
    actor: Actor | None = request.scope.get(_ACTOR)
    return actor


ActorDep = Annotated[Actor, Depends(actor_of)]


def is_plain_loopback(request: Request) -> bool:
    """Http on this machine: the only place where a cookie may travel without TLS."""
    return request.url.scheme == "http" and request.url.hostname in _LOOPBACK


def set_cookie(
    request: Request, response: Response, name: str, value: str, *, seconds: int | None = None
) -> None:
    """Ends with the browser's session when `seconds` is left out."""
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/backoffice",
        secure=not is_plain_loopback(request),
        httponly=True,
        samesite="strict",
    )


def set_session(request: Request, response: Response, session: NewSession) -> None:
    set_cookie(request, response, COOKIE, session.secret)
