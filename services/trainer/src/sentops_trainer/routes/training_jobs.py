"""Look at training jobs, and suspend, resume or cancel them."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse

from sentops_core.domain.base import Body, Moment
from sentops_core.domain.resources import TrainerStatus, TrainingJob
from sentops_trainer.deps import Actor, Control

router = APIRouter(prefix="/training-jobs", tags=["training"])


class Event(Body):
    id: int
    at: Moment
    reason: str
    message: str
    progress: TrainerStatus | None = None


@router.get("", summary="Training jobs, newest first", response_model_exclude_none=True)
async def get_jobs(
    control: Control, limit: Annotated[int, Query(ge=1, le=500)] = 50
) -> list[TrainingJob]:
    return await control.jobs(limit)


@router.get("/{name}", summary="One training job", response_model_exclude_none=True)
async def get_job(name: str, control: Control) -> TrainingJob:
    return await control.job(name)


@router.get("/{name}/events", summary="What happened to a job, oldest first")
async def get_events(
    name: str,
    control: Control,
    after: Annotated[int, Query(ge=0, description="Only events after this id.")] = 0,
) -> list[Event]:
    return [
        Event.model_validate(event, from_attributes=True)
        for event in await control.events(name, after=after)
    ]


@router.get("/{name}/log", summary="The end of the newest attempt's log")
async def get_log(
    name: str,
    control: Control,
    last: Annotated[int, Query(ge=1, le=200_000, description="So many characters.")] = 200_000,
) -> PlainTextResponse:
    return PlainTextResponse((await control.log(name))[-last:])


@router.post("/{name}/suspend", status_code=202, summary="Stop the run; it can go on later")
async def post_suspend(name: str, control: Control, actor: Actor) -> TrainingJob:
    return await control.set_suspend(name, suspend=True, actor=actor)


@router.post("/{name}/resume", status_code=202, summary="Go on from the last checkpoint")
async def post_resume(name: str, control: Control, actor: Actor) -> TrainingJob:
    return await control.set_suspend(name, suspend=False, actor=actor)


@router.post("/{name}/cancel", status_code=202, summary="End the job for good")
async def post_cancel(name: str, control: Control, actor: Actor) -> TrainingJob:
    return await control.cancel(name, actor=actor)
