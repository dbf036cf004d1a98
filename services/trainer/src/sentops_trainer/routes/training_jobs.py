"""Look at training jobs, and suspend, resume or cancel them."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse

from sentops_core.domain.base import Body, Moment
from sentops_core.domain.resources import TrainerStatus, TrainingJob
from sentops_trainer.deps import Actor, Loop, ResourcesDep, RunProcesses

router = APIRouter(prefix="/training-jobs", tags=["training"])

_LOG_BYTES = 200_000


class Event(Body):
    id: int
    at: Moment
    reason: str
    message: str
    progress: TrainerStatus | None = None


@router.get("", summary="Training jobs, newest first", response_model_exclude_none=True)
async def get_jobs(
    resources: ResourcesDep, limit: Annotated[int, Query(ge=1, le=500)] = 50
) -> list[TrainingJob]:
    return await resources.jobs(limit)


@router.get("/{name}", summary="One training job", response_model_exclude_none=True)
async def get_job(name: str, resources: ResourcesDep) -> TrainingJob:
    return await resources.job(name)


@router.get("/{name}/events", summary="What happened to a job, oldest first")
async def get_events(
    name: str,
    resources: ResourcesDep,
    after: Annotated[int, Query(ge=0, description="Only events after this id.")] = 0,
) -> list[Event]:
    await resources.job(name)
    return [
        Event.model_validate(event, from_attributes=True)
        for event in await resources.events(name, after=after)
    ]


@router.get("/{name}/log", summary="The end of the newest attempt's log")
async def get_log(name: str, resources: ResourcesDep, processes: RunProcesses) -> PlainTextResponse:
    await resources.job(name)
    return PlainTextResponse(processes.log_tail(name, _LOG_BYTES))


@router.post("/{name}/suspend", status_code=202, summary="Stop the run; it can go on later")
async def post_suspend(name: str, resources: ResourcesDep, loop: Loop, actor: Actor) -> TrainingJob:
    job = await resources.set_suspend(name, suspend=True, actor=actor)
    loop.wake()
    return job


@router.post("/{name}/resume", status_code=202, summary="Go on from the last checkpoint")
async def post_resume(name: str, resources: ResourcesDep, loop: Loop, actor: Actor) -> TrainingJob:
    job = await resources.set_suspend(name, suspend=False, actor=actor)
    loop.wake()
    return job


@router.post("/{name}/cancel", status_code=202, summary="End the job for good")
async def post_cancel(name: str, resources: ResourcesDep, loop: Loop, actor: Actor) -> TrainingJob:
    job = await resources.cancel(name, actor=actor)
    loop.wake()
    return job
