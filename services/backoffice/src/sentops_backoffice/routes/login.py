"""The only pages that need no account: the way in."""

import hmac
import secrets
from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from sentops_backoffice.access import COOKIE, PASSWORD_PAGE, set_cookie, set_session
from sentops_backoffice.accounts import authenticate, start_session
from sentops_backoffice.deps import PartsDep
from sentops_backoffice.forms import read_form, text_fields
from sentops_backoffice.limiter import slow_down
from sentops_backoffice.page import Page, PageDep
from sentops_backoffice.sentences import said
from sentops_core.domain.errors import Forbidden, Overloaded
from sentops_core.store.audit import Audit
from sentops_core.store.pool import transaction

log = structlog.get_logger()
router = APIRouter(tags=["account"], include_in_schema=False)

_INDEX = "/backoffice/index"
_LOGIN_COOKIE = "sentops_login"


@router.get("/", summary="To the overview")
async def root() -> Response:
    return RedirectResponse(_INDEX, 303)


@router.get("/backoffice", summary="To the overview")
@router.get("/backoffice/", summary="To the overview")
async def backoffice() -> Response:
    return RedirectResponse(_INDEX, 303)


@router.get("/backoffice/login", summary="The login page")
async def get_login(
    request: Request, page: PageDep, wanted: Annotated[str, Query(alias="next")] = _INDEX
) -> Response:
    return _page(request, page, wanted)


@router.post("/backoffice/login", summary="Log in")
async def post_login(request: Request, parts: PartsDep, page: PageDep) -> Response:
    fields = text_fields(await read_form(request))
    name, password = fields.get("name", "").strip()[:100], fields.get("password", "")
    wanted = fields.get("next", _INDEX)
    _require_own_form(request, fields.get("csrf", ""))
    keys = (f"name {name.casefold()}", f"from {request.client.host if request.client else ''}")
    try:
        parts.logins.check(*keys)
    except Overloaded as error:
        return _page(
            request, page, wanted, name=name, sentence=slow_down(error, page.words), status=429
        )
    # Counted before the check, so that many guesses at once are not all let through.
    parts.logins.failed(*keys)
    async with transaction(parts.pool) as connection:
        user = await authenticate(connection, parts.passwords, name, password[:1000])
        if user is None:
            log.warning("login_failed")
            sentence = page.words("login.wrong")
            return _page(request, page, wanted, name=name, sentence=sentence, status=401)
        session = await start_session(
            connection,
            user.name,
            replacing=request.cookies.get(COOKIE),
            user_agent=request.headers.get("user-agent", ""),
        )
        await Audit(connection).record(user.name, "user.logged_in", user.name)
    parts.logins.succeeded(*keys)
    response = RedirectResponse(
        PASSWORD_PAGE if user.must_change_password else _inside(wanted), 303
    )
    set_session(request, response, session)
    response.delete_cookie(_LOGIN_COOKIE, path="/backoffice")
    return response


def _page(
    request: Request,
    page: Page,
    wanted: str,
    *,
    name: str = "",
    sentence: str = "",
    status: int = 200,
) -> Response:
    csrf = request.cookies.get(_LOGIN_COOKIE) or secrets.token_urlsafe(32)
    response = page.render(
        "login.html", status=status, csrf=csrf, next=_inside(wanted), name=name, sentence=sentence
    )
    set_cookie(request, response, _LOGIN_COOKIE, csrf)
    return response


def _require_own_form(request: Request, sent: str) -> None:
    """There is no session yet, so the form and a cookie of ours must say the same."""
    known = request.cookies.get(_LOGIN_COOKIE, "")
    if not known or not hmac.compare_digest(known.encode(), sent.encode()):
        sentence = "This form is stale or came from another site: open /backoffice/login again."
        raise said(Forbidden(sentence), "login.stale")


def _inside(wanted: str) -> str:
    """Only ever to a page of ours: `next` comes from whoever made the link."""
    ours = wanted.startswith("/backoffice/") and not set("\\\r\n\t") & set(wanted)
    return wanted if ours and ".." not in wanted else _INDEX
