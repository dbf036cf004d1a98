"""Accounts of others, for admins."""

from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from sentops_backoffice.access import ActorDep, needs
from sentops_backoffice.browsers import browser_of
from sentops_backoffice.deps import Connection, PartsDep
from sentops_backoffice.forms import read_form, text_fields
from sentops_backoffice.page import Page, PageDep
from sentops_backoffice.people import (
    LONGEST_NAME,
    FirstPassword,
    end_session,
    end_sessions,
    make_user,
    one_user,
    open_sessions,
    reset_password,
    role_of,
    set_disabled,
    set_role,
)
from sentops_backoffice.sentences import sentence_of
from sentops_core.domain.errors import Conflict, InvalidInput
from sentops_core.store.pool import Connection as StoreConnection
from sentops_core.store.tokens import Role
from sentops_core.store.users import Users

router = APIRouter(prefix="/users", tags=["account"], include_in_schema=False)

_ROWS = 100
UserName = Annotated[str, Path(max_length=200)]
SessionId = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
# Those that are asked about first.
Dangerous = Literal["disable", "reset-password", "end-sessions"]


def address(name: str) -> str:
    return f"/backoffice/users/{quote(name, safe='')}"


@router.get("", summary="Accounts")
@needs(Role.ADMIN)
async def get_users(
    page: PageDep, connection: Connection, after: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    return await _list(page, connection, after=after)


@router.post("", summary="Make an account")
async def post_user(
    request: Request, actor: ActorDep, page: PageDep, connection: Connection
) -> Response:
    """The first password is ours, shown once, and must be changed at the first login."""
    fields = text_fields(await read_form(request))
    name, role = fields.get("name", ""), fields.get("role", "")
    try:
        async with connection.transaction():
            made = await make_user(connection, name, role, actor=actor.name)
    except (InvalidInput, Conflict) as error:
        status = 409 if isinstance(error, Conflict) else 422
        sentence = sentence_of(error, page.words)
        return await _list(page, connection, sentence=sentence, name=name, status=status)
    return await _one(page, connection, made.user.name, made=made)


@router.get("/{name}", summary="One account")
@needs(Role.ADMIN)
async def get_user(name: UserName, page: PageDep, connection: Connection) -> Response:
    return await _one(page, connection, name)


@router.get("/{name}/{change}", summary="What a change will do, before it is made")
@needs(Role.ADMIN)
async def get_change(
    name: UserName, change: Dangerous, page: PageDep, connection: Connection
) -> Response:
    user = await one_user(connection, name)
    sessions = len(await open_sessions(connection, name))
    return page.render(
        "user_change.html",
        current="settings",
        user=user,
        change=change,
        sessions=sessions,
        address=address(name),
    )


@router.post("/{name}/{change}", summary="Change an account")
async def post_change(
    name: UserName,
    change: str,
    request: Request,
    actor: ActorDep,
    parts: PartsDep,
    page: PageDep,
    connection: Connection,
) -> Response:
    if change in {"disable", "enable"}:
        await set_disabled(connection, name, disabled=change == "disable", actor=actor.name)
    elif change == "role":
        role = role_of(text_fields(await read_form(request)).get("role", ""))
        await set_role(connection, name, role, actor=actor.name)
    elif change == "end-sessions":
        await end_sessions(connection, name, actor=actor.name)
    elif change == "reset-password":
        made = await reset_password(connection, parts.passwords, name, actor=actor.name)
        return await _one(page, connection, name, made=made)
    else:
        raise InvalidInput("The change is disable, enable, role, reset-password or end-sessions.")
    return page.see(address(name), done=f"user.{change}")


@router.post("/{name}/sessions/{session_id}", summary="End one session of an account")
async def post_end_session(
    name: UserName, session_id: SessionId, actor: ActorDep, page: PageDep, connection: Connection
) -> Response:
    await end_session(connection, name, session_id, actor=actor.name)
    return page.see(address(name), done="user.session")


async def _list(
    page: Page,
    connection: StoreConnection,
    *,
    after: str = "",
    sentence: str = "",
    name: str = "",
    status: int = 200,
) -> Response:
    users = await Users(connection).by_name(after=after, limit=_ROWS)
    return page.render(
        "users.html",
        status=status,
        current="settings",
        users=users,
        next=users[-1].name if len(users) == _ROWS else "",
        address=address,
        roles=list(Role),
        longest=LONGEST_NAME,
        sentence=sentence,
        name=name,
    )


async def _one(
    page: Page, connection: StoreConnection, name: str, *, made: FirstPassword | None = None
) -> Response:
    user = await one_user(connection, name)
    return page.render(
        "user.html",
        current="settings",
        user=user,
        sessions=await open_sessions(connection, name),
        browser_of=browser_of,
        address=address(name),
        roles=list(Role),
        made=made,
    )
