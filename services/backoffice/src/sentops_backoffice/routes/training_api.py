"""Trainings for programs."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi import Body as FromBody
from fastapi.responses import PlainTextResponse
from pydantic import Field

from sentops_backoffice.access import ActorDep
from sentops_backoffice.comparison import chosen_pair, compare_runs, disagreements
from sentops_backoffice.deps import PartsDep
from sentops_backoffice.measures import Measures
from sentops_backoffice.operations import change_job, start_training
from sentops_backoffice.trainings import job_lines, job_page, next_of
from sentops_core.domain.base import Body, Moment, ResourceName
from sentops_core.domain.disagreement import WhoIsRight
from sentops_core.domain.errors import NotFound
from sentops_core.domain.evaluation import ClassScores
from sentops_core.domain.fast_path import FastPathMode
from sentops_core.domain.resources import (
    Gate,
    Hyperparameters,
    Method,
    Promotion,
    TrainerStatus,
    TrainingJob,
)
from sentops_core.store.pool import transaction
from sentops_core.store.training_jobs import TrainingJobs

router = APIRouter(prefix="/api", tags=["training"])

_TRAIN_EXAMPLES: Any = {
    "simple": {"summary": "A dataset version, with the defaults", "value": {"dataset_id": "v1"}},
    "quick": {
        "summary": "A first model within minutes",
        "value": {"dataset_id": "v1", "method": "Linear"},
    },
    "careful": {
        "summary": "Settings of one's own, a stricter gate, and nobody served before a person agrees",
        "value": {
            "dataset_id": "v2",
            "name": "longer-training",
            "method": "FineTune",
            "base": "multilingual-small",
            "hyperparameters": {"epochs": 6, "learningRate": "5e-5"},
            "gate": {
                "minSamples": 200,
                "metrics": [{"name": "macro_f1", "min": "0.7", "maxDropVsChampion": "0.01"}],
                "perClassMin": {"recall": "0.5"},
                "mustPass": [{"text": "Arrivato rotto.", "label": "negative"}],
            },
            "promotion": {"mode": "Manual"},
            "fast_path": "Off",
        },
    },
}
_JOB: Any = {"examples": ["sentiment-v1-finetune-3f2a9c"]}


class Train(Body):
    """The short form of the trainer; what is left out is chosen there."""

    dataset_id: str | None = Field(default=None, description="Such as v1; the newest if left out.")
    name: ResourceName | None = None
    method: Method | None = None
    base: str | None = None
    hyperparameters: Hyperparameters | None = None
    gate: Gate | None = None
    promotion: Promotion | None = None
    fast_path: FastPathMode | None = None


class Accepted(Body):
    """`status_url` is an address of the trainer; here it is /backoffice/api/training-jobs/{name}."""

    name: str = Field(json_schema_extra=_JOB)
    status_url: str = Field(
        json_schema_extra={"examples": ["/training-jobs/sentiment-v1-finetune-3f2a9c"]}
    )


class Job(Body):
    """The whole document as `kubectl get` would show it, and what only the tables know."""

    job: TrainingJob
    dataset_version: str | None = Field(json_schema_extra={"examples": ["v1"]})
    model_version: str | None = Field(json_schema_extra={"examples": ["sentiment-v3"]})
    cancel_requested: bool
    created_by: str = Field(json_schema_extra={"examples": ["anna"]})


class Jobs(Body):
    jobs: list[Job]
    next: str | None = Field(description="Give it back as `before` for the next page.")


class Event(Body):
    id: int
    at: Moment
    reason: str = Field(json_schema_extra={"examples": ["RunStarted"]})
    message: str = Field(json_schema_extra={"examples": ["Attempt 1 is running."]})
    progress: TrainerStatus | None = None


class Events(Body):
    events: list[Event]


class Point(Body):
    epoch: float = Field(json_schema_extra={"examples": [1.5]})
    values: dict[str, float] = Field(
        json_schema_extra={"examples": [{"loss": 0.61, "eval_macro_f1": 0.72}]}
    )


class Curve(Body):
    """120 points at most; evaluations on the validation rows come first."""

    points: list[Point]


class Estimate(Body):
    """With its 95 % interval, where that can be told."""

    value: float
    low: float | None
    high: float | None


class Measured(Body):
    rows: int
    accuracy: Estimate
    macro_f1: Estimate
    calibration_error: float
    per_class: dict[str, ClassScores]
    confusion: list[list[int]] = Field(description="Rows: true label, columns: answered.")


class Run(Body):
    letter: str = Field(json_schema_extra={"examples": ["A"]})
    name: str = Field(json_schema_extra=_JOB)
    model_version: str | None
    dataset_version: str | None
    measured: Measured | None


class ComparedParameter(Body):
    name: str = Field(json_schema_extra={"examples": ["learningRate"]})
    values: list[str] = Field(
        description="One per run; empty where the run has none.",
        json_schema_extra={"examples": [["1e-4", "5e-5"]]},
    )
    differs: bool


class Compared(Body):
    runs: list[Run]
    parameters: list[ComparedParameter]
    same_rows: bool = Field(description="Whether all were measured on the same held-out rows.")


class Answered(Body):
    answer: str
    score: float


class DisagreementRow(Body):
    content_hash: str
    text: str | None = Field(description="Absent once it was erased.")
    truth: str
    first: Answered
    second: Answered
    who: WhoIsRight


class DisagreementPage(Body):
    """Both models on the same held-out rows; `p_value` is of the exact McNemar test."""

    rows: int
    both_right: int
    only_first_right: int
    only_second_right: int
    neither_right: int
    p_value: float
    disagreements: list[DisagreementRow]
    next: str | None = Field(description="Give it back as `after` for the next page.")


JobNames = Annotated[
    list[ResourceName],
    Query(min_length=2, max_length=6, description="Two to six trainings; given once each."),
]


@router.post("/train", status_code=202, summary="Start a training")
async def post_train(
    actor: ActorDep,
    parts: PartsDep,
    body: Annotated[Train | None, FromBody(openapi_examples=_TRAIN_EXAMPLES)] = None,
) -> Accepted:
    """Without a body: the newest dataset version, with the defaults."""
    given = body.model_dump(mode="json", by_alias=True, exclude_none=True) if body else {}
    return Accepted(**await start_training(parts, given, actor=actor.name))


@router.get("/training-jobs", summary="Trainings, newest first", response_model_exclude_none=True)
async def get_jobs(
    parts: PartsDep,
    before: Annotated[str, Query(max_length=150, description="The `next` of a page.")] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Jobs:
    lines = await job_lines(parts, before, limit)
    jobs = [
        Job(
            job=line.job,
            dataset_version=line.row.dataset_version,
            model_version=line.version,
            cancel_requested=line.row.cancel_requested,
            created_by=line.row.created_by,
        )
        for line in lines
    ]
    return Jobs(jobs=jobs, next=next_of(lines, limit) or None)


@router.get("/training-comparison", summary="Trainings side by side")
async def get_compare(parts: PartsDep, job: JobNames) -> Compared:
    found = await compare_runs(parts, job)
    return Compared(
        runs=[
            Run(
                letter=run.letter,
                name=run.name,
                model_version=run.version.version.metadata.name if run.version else None,
                dataset_version=run.row.dataset_version,
                measured=_measured(run.measures) if run.measures else None,
            )
            for run in found.runs
        ],
        parameters=[
            ComparedParameter(name=one.name, values=list(one.values), differs=one.differs)
            for one in found.parameters
        ],
        same_rows=found.same_rows,
    )


@router.get("/training-disagreements", summary="Held-out rows on which two trained models disagree")
async def get_disagreements(
    parts: PartsDep,
    first: ResourceName,
    second: ResourceName,
    who: Annotated[WhoIsRight | None, Query(description="Only where this one is right.")] = None,
    after: Annotated[str, Query(pattern="^([0-9a-f]{64})?$")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> DisagreementPage:
    one, other = chosen_pair(await compare_runs(parts, [first, second]), "")
    found = await disagreements(parts, one, other, who=who, after=after, limit=limit)
    if found.pairing is None:
        name = one.name if found.missing == one.letter else other.name
        raise NotFound(found.trouble or f"What {name} answered for the held-out rows was not kept.")
    return DisagreementPage(
        rows=found.pairing.rows,
        both_right=found.pairing.both_right,
        only_first_right=found.pairing.only_first_right,
        only_second_right=found.pairing.only_second_right,
        neither_right=found.pairing.neither_right,
        p_value=found.pairing.p_value,
        disagreements=[
            DisagreementRow(
                content_hash=example.row.content_hash,
                text=example.text,
                truth=example.row.truth,
                first=Answered(answer=example.row.first.answer, score=example.row.first.score),
                second=Answered(answer=example.row.second.answer, score=example.row.second.score),
                who=example.row.who,
            )
            for example in found.examples
        ],
        next=found.next or None,
    )


@router.get("/training-jobs/{name}", summary="One training", response_model_exclude_none=True)
async def get_job(name: ResourceName, parts: PartsDep) -> Job:
    async with transaction(parts.pool) as connection:
        row = await TrainingJobs(connection).get(name)
    reference = row.job.status.model_version_ref
    return Job(
        job=row.job,
        dataset_version=row.dataset_version,
        model_version=reference.name if reference else None,
        cancel_requested=row.cancel_requested,
        created_by=row.created_by,
    )


@router.get(
    "/training-jobs/{name}/events",
    summary="What happened to a training, oldest first",
    response_model_exclude_none=True,
)
async def get_events(
    name: ResourceName,
    parts: PartsDep,
    after: Annotated[int, Query(ge=0, description="Only events after this id.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
) -> Events:
    async with transaction(parts.pool) as connection:
        jobs = TrainingJobs(connection)
        await jobs.get(name)
        found = await jobs.events(name, after=after, limit=limit)
    return Events(events=[Event.model_validate(one, from_attributes=True) for one in found])


@router.get("/training-jobs/{name}/curve", summary="Loss and scores of a training by epoch")
async def get_curve(name: ResourceName, parts: PartsDep) -> Curve:
    found = (await job_page(parts, name, with_log=False)).curve
    return Curve(points=[Point(epoch=one.epoch, values=dict(one.values)) for one in found])


@router.get(
    "/training-jobs/{name}/log",
    summary="The end of the newest attempt's log",
    response_class=PlainTextResponse,
)
async def get_log(
    name: ResourceName,
    parts: PartsDep,
    last: Annotated[int, Query(ge=1, le=200_000, description="So many characters.")] = 200_000,
) -> PlainTextResponse:
    text = await parts.trainer.get_text(
        f"/training-jobs/{name}/log", seconds=30, query={"last": last}
    )
    return PlainTextResponse(text)


@router.post(
    "/training-jobs/{name}/{action}",
    status_code=202,
    summary="Suspend, resume or cancel a training",
    response_model=None,
    responses={202: {"model": TrainingJob}},
)
async def post_job(
    name: ResourceName,
    action: Literal["suspend", "resume", "cancel"],
    actor: ActorDep,
    parts: PartsDep,
) -> dict[str, Any]:
    """Answers with the job's document. A cancelled job is over; a suspended one goes on from its checkpoint."""
    return await change_job(parts, name, action, actor=actor.name)


def _measured(found: Measures) -> Measured:
    return Measured(
        rows=found.rows,
        accuracy=Estimate(
            value=found.accuracy.value, low=found.accuracy.low, high=found.accuracy.high
        ),
        macro_f1=Estimate(
            value=found.macro_f1.value, low=found.macro_f1.low, high=found.macro_f1.high
        ),
        calibration_error=found.calibration_error,
        per_class=found.per_class,
        confusion=[list(row) for row in found.confusion],
    )
