"""The audit log and tokens for programs."""

from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from sentops_backoffice.access import ActorDep, needs
from sentops_backoffice.deps import Connection
from sentops_core.domain.base import Body, Moment
from sentops_core.store.audit import Audit
from sentops_core.store.tokens import ApiToken, ApiTokens, Role

router = APIRouter(prefix="/api", tags=["platform"])


class AuditLine(Body):
    id: int
    at: Moment
    actor: str
    action: str
    subject: str
    evidence: dict[str, Any]


class AuditLines(Body):
    lines: list[AuditLine]


class TokenRequest(Body):
    name: str = Field(min_length=1, max_length=100)
    scope: Role


class Token(Body):
    id: UUID
    name: str
    scope: Role
    created_by: str
    created_at: Moment
    revoked_at: Moment | None
    last_used_at: Moment | None = None


class NewToken(Token):
    secret: str = Field(description="Shown this once only.")


class Tokens(Body):
    tokens: list[Token]


@router.get("/audit", summary="Who did what, newest first")
async def get_audit(
    connection: Connection,
    subject: Annotated[str | None, Query(max_length=200)] = None,
    before: Annotated[int | None, Query(ge=1, description="The last id already seen.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> AuditLines:
    rows = await Audit(connection).newest(subject=subject, before=before, limit=limit)
    return AuditLines(lines=[AuditLine(**asdict(row)) for row in rows])


@router.get("/tokens", summary="API tokens, revoked ones too")
@needs(Role.ADMIN)
async def get_tokens(connection: Connection) -> Tokens:
    return Tokens(tokens=[_token(token) for token in await ApiTokens(connection).newest()])


@router.post("/tokens", status_code=201, summary="Make an API token")
async def post_token(body: TokenRequest, actor: ActorDep, connection: Connection) -> NewToken:
    made = await ApiTokens(connection).create(body.name, body.scope, created_by=actor.name)
    await Audit(connection).record(
        actor.name,
        "api_token.created",
        str(made.token.id),
        {"name": body.name, "scope": body.scope},
    )
    return NewToken(**asdict(made.token), secret=made.secret)


@router.delete("/tokens/{token_id}", summary="Revoke an API token")
async def delete_token(token_id: UUID, actor: ActorDep, connection: Connection) -> Token:
    revoked = await ApiTokens(connection).revoke(token_id)
    await Audit(connection).record(
        actor.name, "api_token.revoked", str(token_id), {"name": revoked.name}
    )
    return _token(revoked)


def _token(token: ApiToken) -> Token:
    return Token(**asdict(token))
