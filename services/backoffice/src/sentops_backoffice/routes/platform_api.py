"""Training, versions, audit, lineage and tokens for programs."""

from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from sentops_backoffice.access import ActorDep, needs
from sentops_backoffice.deps import Connection, PartsDep
from sentops_backoffice.operations import start_training
from sentops_core.domain.base import Body, Moment, ResourceName
from sentops_core.domain.resources import Gate, Hyperparameters, Method, ModelVersion, Promotion
from sentops_core.store.audit import Audit
from sentops_core.store.lineage import lineage, prediction_uuid
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.tokens import ApiToken, ApiTokens, Role

router = APIRouter(prefix="/api", tags=["platform"])


class Train(Body):
    """The short form of the trainer; what is left out is chosen there."""

    dataset_id: str | None = Field(default=None, description="Such as v1; the newest if left out.")
    name: ResourceName | None = None
    method: Method | None = None
    base: str | None = None
    hyperparameters: Hyperparameters | None = None
    gate: Gate | None = None
    promotion: Promotion | None = None


class Accepted(Body):
    name: str
    status_url: str


class Versions(Body):
    versions: list[ModelVersion]


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


@router.post("/train", status_code=202, summary="Start a training")
async def post_train(actor: ActorDep, parts: PartsDep, body: Train | None = None) -> Accepted:
    given = body.model_dump(mode="json", by_alias=True, exclude_none=True) if body else {}
    return Accepted(**await start_training(parts, given, actor=actor.name))


@router.get(
    "/versions", summary="Model versions, highest number first", response_model_exclude_none=True
)
async def get_versions(connection: Connection, parts: PartsDep) -> Versions:
    rows = await ModelVersions(connection).list_versions(parts.settings.model_name)
    return Versions(versions=[row.version for row in rows])


@router.get("/audit", summary="Who did what, newest first")
async def get_audit(
    connection: Connection,
    subject: Annotated[str | None, Query(max_length=200)] = None,
    before: Annotated[int | None, Query(ge=1, description="The last id already seen.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> AuditLines:
    rows = await Audit(connection).newest(subject=subject, before=before, limit=limit)
    return AuditLines(lines=[AuditLine(**asdict(row)) for row in rows])


@router.get("/lineage/{prediction_id}", summary="From an answer to the rows behind it")
async def get_lineage(prediction_id: str, connection: Connection) -> dict[str, Any]:
    """Prediction, votes, model version, training job, dataset version, sources and annotators."""
    return asdict(await lineage(connection, prediction_uuid(prediction_id)))


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
