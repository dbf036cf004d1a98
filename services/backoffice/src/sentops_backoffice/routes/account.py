"""One's own account: log out, choose a password."""

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from sentops_backoffice.access import COOKIE, ActorDep, needs, set_session
from sentops_backoffice.accounts import authenticate, check_new_password, start_session
from sentops_backoffice.deps import Connection, PartsDep
from sentops_backoffice.forms import read_form
from sentops_backoffice.page import Page, PageDep
from sentops_core.domain.errors import Forbidden, InvalidInput
from sentops_core.store.audit import Audit
from sentops_core.store.tokens import Role
from sentops_core.store.users import Sessions, Users

router = APIRouter(tags=["account"], include_in_schema=False)


@router.post("/logout", summary="Log out")
@needs(Role.VIEWER)
async def post_logout(request: Request, connection: Connection) -> Response:
    if cookie := request.cookies.get(COOKIE):
        await Sessions(connection).end(cookie)
    response = RedirectResponse("/backoffice/login", 303)
    response.delete_cookie(COOKIE, path="/backoffice")
    return response


@router.get("/password", summary="Choose a password")
async def get_password(page: PageDep) -> Response:
    return _page(page)


@router.post("/password", summary="Change one's own password")
@needs(Role.VIEWER)
async def post_password(
    request: Request, actor: ActorDep, parts: PartsDep, page: PageDep, connection: Connection
) -> Response:
    """Every other session of the account ends."""
    if actor.session is None:
        raise Forbidden("A token has no password.")
    form = await read_form(request)
    now, new, again = (str(form.get(name, "")) for name in ("current", "new", "again"))
    keys = (f"name {actor.name.casefold()}",)
    parts.logins.check(*keys)
    if await authenticate(connection, parts.passwords, actor.name, now[:1000]) is None:
        parts.logins.failed(*keys)
        return _page(page, sentence="The current password is wrong.", status=422)
    if complaint := _complaint(actor.name, now, new, again):
        return _page(page, sentence=complaint, status=422)
    await Users(connection).set_password(actor.name, await parts.passwords.hash(new))
    session = await start_session(
        connection,
        actor.name,
        replacing=None,
        user_agent=request.headers.get("user-agent", ""),
    )
    await Audit(connection).record(actor.name, "user.password_changed", actor.name)
    response = RedirectResponse("/backoffice/index", 303)
    set_session(request, response, session)
    return response


def _complaint(name: str, now: str, new: str, again: str) -> str | None:
    if new != again:
        return "The two new passwords differ."
    if new == now:
        return "The new password is the current one."
    try:
        check_new_password(name, new)
    except InvalidInput as error:
        return str(error)
    return None


def _page(page: Page, *, sentence: str = "", status: int = 200) -> Response:
    return page.render("password.html", status=status, current="account", sentence=sentence)
