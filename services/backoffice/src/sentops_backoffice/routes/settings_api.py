"""People, tokens and retention for programs: what the pages of the settings do."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import Field

from sentops_backoffice.access import ActorDep, needs
from sentops_backoffice.deps import Connection, PartsDep
from sentops_backoffice.people import (
    FirstPassword,
    end_session,
    end_sessions,
    make_user,
    one_user,
    open_sessions,
    reset_password,
    set_disabled,
    set_role,
)
from sentops_backoffice.routes.api_tokens import LONGEST_NAME, make_token, revoke_token
from sentops_backoffice.routes.retention import LONGEST, choose_retention, doomed_by
from sentops_core.domain.base import Body, Moment
from sentops_core.store.pool import Connection as StoreConnection
from sentops_core.store.retention import COUNTED_ROWS, RetentionTable
from sentops_core.store.tokens import ApiToken, ApiTokens, Role
from sentops_core.store.users import User, Users

router = APIRouter(prefix="/api", tags=["settings"])

UserName = Annotated[str, Path(max_length=200, examples=["bruno"])]
SessionId = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="As listed.")]


def _example(**fields: Any) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"application/json": {"example": fields}}}}


class UserRequest(Body):
    name: str = Field(max_length=60, examples=["bruno"])
    role: Role


class UserChange(Body):
    """What is left out stays as it is."""

    role: Role | None = None
    disabled: bool | None = None


class Person(Body):
    name: str
    role: Role
    disabled: bool
    must_change_password: bool
    created_at: Moment


class People(Body):
    users: list[Person]


class PersonWithPassword(Person):
    first_password: str = Field(
        description="Shown this once only; must be changed at the first login."
    )


class SessionLine(Body):
    id: str
    user_agent: str
    created_at: Moment
    expires_at: Moment


class SessionLines(Body):
    sessions: list[SessionLine]


class Ended(Body):
    ended: int


class TokenRequest(Body):
    name: str = Field(min_length=1, max_length=LONGEST_NAME, examples=["nightly import"])
    scope: Role


class Token(Body):
    id: UUID
    name: str
    scope: Role
    created_by: str
    created_at: Moment
    revoked_at: Moment | None
    last_used_at: Moment | None = Field(description="To the quarter of an hour.")


class NewToken(Token):
    secret: str = Field(description="Shown this once only.")


class Tokens(Body):
    tokens: list[Token]


class RetentionChoice(Body):
    days: int | None = Field(
        ge=1, le=LONGEST, description="null: only the limit of the installation counts."
    )


class RetentionNow(Body):
    """What holds, and what the next tidying would delete; absent: nothing ever."""

    kept_days: int | None = None
    chosen_days: int | None = None
    chosen_by: str | None = None
    limit_days: int | None = Field(default=None, description="Of the installation; never longer.")
    tidied_at: Moment | None = None
    deletes_before: Moment | None = None
    deletes_predictions: int | None = Field(
        default=None, description=f"From {COUNTED_ROWS} on an estimate, to two digits."
    )
    deletes_votes: int | None = Field(
        default=None, description=f"Up to {COUNTED_ROWS}: then there are so many, or more."
    )


@router.get("/users", summary="Accounts, by name")
@needs(Role.ADMIN)
async def get_users(
    connection: Connection,
    after: Annotated[str, Query(max_length=200, description="The last name already seen.")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> People:
    users = await Users(connection).by_name(after=after, limit=limit)
    return People(users=[_person(user) for user in users])


@router.post("/users", status_code=201, summary="Make an account")
async def post_user(
    body: UserRequest, actor: ActorDep, connection: Connection
) -> PersonWithPassword:
    return _with_password(await make_user(connection, body.name, body.role, actor=actor.name))


@router.get("/users/{name}", summary="One account")
@needs(Role.ADMIN)
async def get_user(name: UserName, connection: Connection) -> Person:
    return _person(await one_user(connection, name))


@router.patch("/users/{name}", summary="Change the role of an account, disable or enable it")
async def patch_user(
    name: UserName, body: UserChange, actor: ActorDep, connection: Connection
) -> Person:
    user = await one_user(connection, name)
    if body.role is not None:
        user = await set_role(connection, name, body.role, actor=actor.name)
    if body.disabled is not None:
        user = await set_disabled(connection, name, disabled=body.disabled, actor=actor.name)
    return _person(user)


@router.post("/users/{name}/password", summary="Give an account a new first password")
async def post_password(
    name: UserName, actor: ActorDep, parts: PartsDep, connection: Connection
) -> PersonWithPassword:
    """Every session of the account ends."""
    return _with_password(await reset_password(connection, parts.passwords, name, actor=actor.name))


@router.get("/users/{name}/sessions", summary="Where an account is logged in")
@needs(Role.ADMIN)
async def get_sessions(name: UserName, connection: Connection) -> SessionLines:
    await one_user(connection, name)
    sessions = await open_sessions(connection, name)
    return SessionLines(sessions=[SessionLine(**asdict(one)) for one in sessions])


@router.delete("/users/{name}/sessions", summary="End all sessions of an account")
async def delete_sessions(name: UserName, actor: ActorDep, connection: Connection) -> Ended:
    return Ended(ended=await end_sessions(connection, name, actor=actor.name))


@router.delete("/users/{name}/sessions/{session_id}", summary="End one session of an account")
async def delete_session(
    name: UserName, session_id: SessionId, actor: ActorDep, connection: Connection
) -> Ended:
    await end_session(connection, name, session_id, actor=actor.name)
    return Ended(ended=1)


@router.get("/tokens", summary="API tokens, revoked ones too")
@needs(Role.ADMIN)
async def get_tokens(connection: Connection) -> Tokens:
    return Tokens(tokens=[_token(token) for token in await ApiTokens(connection).newest()])


@router.post("/tokens", status_code=201, summary="Make an API token")
async def post_token(body: TokenRequest, actor: ActorDep, connection: Connection) -> NewToken:
    made = await make_token(connection, body.name, body.scope, actor=actor.name)
    return NewToken(**asdict(made.token), secret=made.secret)


@router.delete("/tokens/{token_id}", summary="Revoke an API token")
async def delete_token(token_id: UUID, actor: ActorDep, connection: Connection) -> Token:
    return _token(await revoke_token(connection, token_id, actor=actor.name))


@router.get(
    "/retention",
    summary="How long predictions are kept, and what goes next",
    response_model_exclude_none=True,
    responses=_example(
        kept_days=90,
        chosen_days=90,
        chosen_by="anna",
        limit_days=365,
        tidied_at="2026-11-21T11:40:00Z",
        deletes_before="2026-08-01T00:00:00Z",
        deletes_predictions=0,
        deletes_votes=0,
    ),
)
@needs(Role.ADMIN)
async def get_retention(
    connection: Connection,
    days: Annotated[
        int | None, Query(ge=1, le=LONGEST, description="What if this were chosen?")
    ] = None,
) -> RetentionNow:
    return await _retention(connection, days)


@router.put(
    "/retention",
    summary="Choose how long predictions are kept",
    response_model_exclude_none=True,
)
async def put_retention(
    body: RetentionChoice, actor: ActorDep, connection: Connection
) -> RetentionNow:
    """From the next housekeeping on, within the hour. Never longer than the limit of the installation."""
    await choose_retention(connection, body.days, actor=actor.name)
    return await _retention(connection, None)


async def _retention(connection: StoreConnection, asked: int | None) -> RetentionNow:
    row = await RetentionTable(connection).get()
    held = row.retention
    days = asked if asked is not None else (held.chosen.days if held.chosen else None)
    first_kept, doomed = await doomed_by(connection, row, days, now=datetime.now(UTC))
    return RetentionNow(
        kept_days=held.kept.days if held.kept else None,
        chosen_days=held.chosen.days if held.chosen else None,
        chosen_by=row.chosen_by if held.chosen else None,
        limit_days=held.limit.days if held.limit else None,
        tidied_at=row.tidied_at,
        deletes_before=first_kept,
        deletes_predictions=doomed.predictions if doomed else None,
        deletes_votes=doomed.votes if doomed else None,
    )


def _person(user: User) -> Person:
    return Person(
        name=user.name,
        role=user.role,
        disabled=user.disabled,
        must_change_password=user.must_change_password,
        created_at=user.created_at,
    )


def _with_password(made: FirstPassword) -> PersonWithPassword:
    return PersonWithPassword(**_person(made.user).model_dump(), first_password=made.password)


def _token(token: ApiToken) -> Token:
    return Token(**asdict(token))
