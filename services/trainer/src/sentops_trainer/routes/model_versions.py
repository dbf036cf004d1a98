"""Look at versions; promote, approve, archive or roll them back."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from sentops_core.domain.base import Body
from sentops_core.domain.resources import ModelVersion
from sentops_trainer.deps import Actor, Control

router = APIRouter(prefix="/model-versions", tags=["versions"])


class Promote(Body):
    reason: str = Field(default="", max_length=500)
    force: bool = Field(
        default=False, description="Promote against the gate's verdict; needs a reason."
    )
    clear_quarantine: bool = Field(
        default=False, description="Try a quarantined digest again; needs a reason."
    )


class Reason(Body):
    reason: str = Field(default="", max_length=500)


@router.get("", summary="Model versions, newest first", response_model_exclude_none=True)
async def get_versions(
    control: Control, limit: Annotated[int, Query(ge=1, le=500)] = 50
) -> list[ModelVersion]:
    return await control.versions(limit)


@router.get("/{name}", summary="One model version", response_model_exclude_none=True)
async def get_version(name: str, control: Control) -> ModelVersion:
    return await control.version(name)


@router.post("/{name}/promote", status_code=202, summary="Make this version the champion")
async def post_promote(
    name: str, control: Control, actor: Actor, body: Promote | None = None
) -> ModelVersion:
    wanted = body or Promote()
    return await control.promote(
        name,
        actor=actor,
        reason=wanted.reason,
        force=wanted.force,
        clear_quarantine=wanted.clear_quarantine,
    )


@router.post("/{name}/approve", status_code=202, summary="A person's yes to a waiting candidate")
async def post_approve(
    name: str, control: Control, actor: Actor, body: Reason | None = None
) -> ModelVersion:
    return await control.approve(name, actor=actor, reason=(body or Reason()).reason)


@router.post(
    "/{name}/archive",
    status_code=202,
    summary="Take a version that does not serve out of the running",
)
async def post_archive(
    name: str, control: Control, actor: Actor, body: Reason | None = None
) -> ModelVersion:
    """A canary is taken back: everyone gets the champion's answers again."""
    return await control.archive(name, actor=actor, reason=(body or Reason()).reason)


@router.post(
    "/{name}/rollback", status_code=202, summary="Return from this champion to the last one"
)
async def post_rollback(
    name: str, control: Control, actor: Actor, body: Reason | None = None
) -> ModelVersion:
    """Answers with the version that will serve; the one rolled back stays loadable."""
    return await control.roll_back(name, actor=actor, reason=(body or Reason()).reason)
