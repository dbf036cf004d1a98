"""One's own account: log out, choose a password, see where one is logged in."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import RedirectResponse, Response

from sentops_backoffice.access import COOKIE, Actor, ActorDep, needs, set_session
from sentops_backoffice.accounts import (
    SHORTEST_PASSWORD,
    authenticate,
    check_new_password,
    start_session,
)
from sentops_backoffice.browsers import browser_of
from sentops_backoffice.deps import Connection, PartsDep
from sentops_backoffice.forms import read_form
from sentops_backoffice.limiter import slow_down
from sentops_backoffice.page import Page, PageDep
from sentops_backoffice.people import end_other_sessions, end_session, open_sessions
from sentops_backoffice.sentences import said, sentence_of
from sentops_core.domain.errors import Forbidden, InvalidInput, Overloaded
from sentops_core.store.audit import Audit
from sentops_core.store.tokens import Role
from sentops_core.store.users import Sessions, Users

router = APIRouter(tags=["account"], include_in_schema=False)

ACCOUNT = "/backoffice/account"


@router.post("/logout", summary="Log out")
@needs(Role.VIEWER)
async def post_logout(request: Request, connection: Connection) -> Response:
    if cookie := request.cookies.get(COOKIE):
        await Sessions(connection).end(cookie)
    response = RedirectResponse("/backoffice/login", 303)
    response.delete_cookie(COOKIE, path="/backoffice")
    return response


@router.get("/account", summary="One's own account")
async def get_account(
    request: Request, actor: ActorDep, page: PageDep, connection: Connection
) -> Response:
    _require_person(actor)
    return page.render(
        "account.html",
        current="account",
        sessions=await open_sessions(connection, actor.name),
        this_one=Sessions.id_of(request.cookies.get(COOKIE, "")),
        browser_of=browser_of,
        shortest=SHORTEST_PASSWORD,
    )


@router.post("/account/sessions/end-others", summary="End all of one's other sessions")
@needs(Role.VIEWER)
async def post_end_others(
    request: Request, actor: ActorDep, page: PageDep, connection: Connection
) -> Response:
    _require_person(actor)
    await end_other_sessions(connection, actor.name, request.cookies.get(COOKIE, ""))
    return page.see(ACCOUNT, done="account.sessions")


@router.post("/account/sessions/{session_id}", summary="End one of one's own sessions")
@needs(Role.VIEWER)
async def post_end_session(
    session_id: Annotated[str, Path(pattern="^[0-9a-f]{64}$")],
    actor: ActorDep,
    page: PageDep,
    connection: Connection,
) -> Response:
    _require_person(actor)
    await end_session(connection, actor.name, session_id, actor=actor.name)
    return page.see(ACCOUNT, done="account.session")


@router.get("/password", summary="Choose a password")
async def get_password(page: PageDep) -> Response:
    return _page(page)


@router.post("/password", summary="Change one's own password")
@needs(Role.VIEWER)
async def post_password(
    request: Request, actor: ActorDep, parts: PartsDep, page: PageDep, connection: Connection
) -> Response:
    """Every other session of the account ends."""
    first = _require_person(actor)
    form = await read_form(request)
    now, new, again = (str(form.get(name, "")) for name in ("current", "new", "again"))
    keys = (f"name {actor.name.casefold()}",)
    try:
        parts.logins.check(*keys)
    except Overloaded as error:
        return _page(page, sentence=slow_down(error, page.words), status=429)
    if await authenticate(connection, parts.passwords, actor.name, now[:1000]) is None:
        parts.logins.failed(*keys)
        return _page(page, sentence=page.words("account.wrong_password"), status=422)
    if complaint := _complaint(page, actor.name, now, new, again):
        return _page(page, sentence=complaint, status=422)
    await Users(connection).set_password(actor.name, await parts.passwords.hash(new))
    session = await start_session(
        connection,
        actor.name,
        replacing=None,
        user_agent=request.headers.get("user-agent", ""),
    )
    await Audit(connection).record(actor.name, "user.password_changed", actor.name)
    response = (
        RedirectResponse("/backoffice/index", 303)
        if first
        else page.see(ACCOUNT, done="account.password")
    )
    set_session(request, response, session)
    return response


def _require_person(actor: Actor) -> bool:
    """Whether they still have the password that was chosen for them."""
    if actor.session is None:
        raise said(Forbidden("A token has no password and no sessions."), "account.token")
    return actor.session.must_change_password


def _complaint(page: Page, name: str, now: str, new: str, again: str) -> str | None:
    if new != again:
        return page.words("account.passwords_differ")
    if new == now:
        return page.words("account.same_password")
    try:
        check_new_password(name, new)
    except InvalidInput as error:
        return sentence_of(error, page.words)
    return None


def _page(page: Page, *, sentence: str = "", status: int = 200) -> Response:
    return page.render(
        "password.html",
        status=status,
        current="account",
        sentence=sentence,
        shortest=SHORTEST_PASSWORD,
    )
