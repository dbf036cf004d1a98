"""API tokens, for admins: a name, what it may do, and a secret that is shown once."""

from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response

from sentops_backoffice.access import ActorDep, needs
from sentops_backoffice.deps import Connection
from sentops_backoffice.forms import read_form, text_fields
from sentops_backoffice.page import Page, PageDep
from sentops_backoffice.people import role_of
from sentops_backoffice.sentences import said, sentence_of
from sentops_core.domain.errors import InvalidInput, NotFound
from sentops_core.store.audit import Audit
from sentops_core.store.pool import Connection as StoreConnection
from sentops_core.store.tokens import ApiToken, ApiTokens, NewApiToken, Role

router = APIRouter(prefix="/tokens", tags=["account"], include_in_schema=False)

LONGEST_NAME = 100
_REVOKED_SHOWN = 50


async def make_token(
    connection: StoreConnection, name: str, scope: Role, *, actor: str
) -> NewApiToken:
    """InvalidInput for a name that nobody could tell from others."""
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise said(
            InvalidInput(f"A token has a name of 1 to {LONGEST_NAME} characters."),
            "tokens.bad_name",
            longest=LONGEST_NAME,
        )
    made = await ApiTokens(connection).create(name, scope, created_by=actor)
    await Audit(connection).record(
        actor, "api_token.created", str(made.token.id), {"name": name, "scope": scope}
    )
    return made


async def revoke_token(connection: StoreConnection, token_id: UUID, *, actor: str) -> ApiToken:
    """Revoked already is success, and is not written down a second time."""
    tokens = ApiTokens(connection)
    before = await tokens.get(token_id)
    revoked = await tokens.revoke(token_id)
    if before.revoked_at is None:
        await Audit(connection).record(
            actor, "api_token.revoked", str(token_id), {"name": revoked.name}
        )
    return revoked


@router.get("", summary="API tokens")
@needs(Role.ADMIN)
async def get_tokens(page: PageDep, connection: Connection) -> Response:
    return await _page(page, connection)


@router.post("", summary="Make an API token")
async def post_token(
    request: Request, actor: ActorDep, page: PageDep, connection: Connection
) -> Response:
    fields = text_fields(await read_form(request))
    name, scope = fields.get("name", ""), fields.get("scope", "")
    try:
        made = await make_token(connection, name, role_of(scope), actor=actor.name)
    except InvalidInput as error:
        sentence = sentence_of(error, page.words)
        return await _page(page, connection, sentence=sentence, name=name, status=422)
    return await _page(page, connection, made=made)


@router.get("/{token_id}/revoke", summary="What revoking a token will do")
@needs(Role.ADMIN)
async def get_revoke(token_id: UUID, page: PageDep, connection: Connection) -> Response:
    token = await _known(connection, token_id)
    return page.render("token_revoke.html", current="settings", token=token)


@router.post("/{token_id}/revoke", summary="Revoke an API token")
async def post_revoke(
    token_id: UUID, actor: ActorDep, page: PageDep, connection: Connection
) -> Response:
    await _known(connection, token_id)
    await revoke_token(connection, token_id, actor=actor.name)
    return page.see("/backoffice/tokens", done="token.revoked")


async def _known(connection: StoreConnection, token_id: UUID) -> ApiToken:
    try:
        return await ApiTokens(connection).get(token_id)
    except NotFound as error:
        raise said(error, "tokens.unknown") from error


async def _page(
    page: Page,
    connection: StoreConnection,
    *,
    made: NewApiToken | None = None,
    sentence: str = "",
    name: str = "",
    status: int = 200,
) -> Response:
    tokens = await ApiTokens(connection).newest()
    return page.render(
        "tokens.html",
        status=status,
        current="settings",
        active=[token for token in tokens if token.revoked_at is None],
        revoked=[token for token in tokens if token.revoked_at is not None][:_REVOKED_SHOWN],
        roles=list(Role),
        made=made,
        longest=LONGEST_NAME,
        sentence=sentence,
        name=name,
    )
