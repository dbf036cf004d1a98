"""Accounts of others, for admins."""

import secrets
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import RedirectResponse, Response

from sentops_backoffice.access import ActorDep, needs
from sentops_backoffice.accounts import create_user
from sentops_backoffice.deps import Connection
from sentops_backoffice.forms import read_form, text_fields
from sentops_backoffice.page import Page, PageDep
from sentops_core.domain.errors import Conflict, InvalidInput
from sentops_core.store.audit import Audit
from sentops_core.store.pool import Connection as StoreConnection
from sentops_core.store.tokens import Role
from sentops_core.store.users import Users

router = APIRouter(prefix="/users", tags=["account"], include_in_schema=False)

_LONGEST_NAME = 60
UserName = Annotated[str, Path(max_length=_LONGEST_NAME)]


@router.get("", summary="Accounts")
@needs(Role.ADMIN)
async def get_users(page: PageDep, connection: Connection) -> Response:
    return await _page(page, connection)


@router.post("", summary="Make an account")
async def post_user(
    request: Request, actor: ActorDep, page: PageDep, connection: Connection
) -> Response:
    """The first password is ours, shown once, and must be changed at the first login."""
    fields = text_fields(await read_form(request))
    name = fields.get("name", "").strip()
    if (
        not name
        or len(name) > _LONGEST_NAME
        or not name.replace(".", "").replace("-", "").isalnum()
    ):
        raise InvalidInput(
            f"A name has letters, digits, dots and hyphens, {_LONGEST_NAME} at most."
        )
    role = fields.get("role", "")
    if role not in set(Role):
        raise InvalidInput(f"The role is one of {', '.join(Role)}.")
    password = secrets.token_urlsafe(12)
    await create_user(connection, name, password, Role(role), actor=actor.name)
    return await _page(page, connection, made=(name, password))


@router.post("/{name}/{change}", summary="Change an account")
async def post_change(
    name: UserName, change: str, actor: ActorDep, connection: Connection
) -> Response:
    if name == actor.name:
        raise Conflict("Nobody changes their own account here: ask another admin.")
    users = Users(connection)
    if change in {"disable", "enable"}:
        await users.set_disabled(name, disabled=change == "disable")
    elif change in set(Role):
        await users.set_role(name, Role(change))
    else:
        raise InvalidInput(f"The change is disable, enable or a role: {', '.join(Role)}.")
    await Audit(connection).record(actor.name, "user.changed", name, {"change": change})
    return RedirectResponse("/backoffice/users", 303)


async def _page(
    page: Page, connection: StoreConnection, *, made: tuple[str, str] | None = None
) -> Response:
    return page.render(
        "users.html",
        current="settings",
        users=await Users(connection).by_name(),
        roles=list(Role),
        made=made,
    )
