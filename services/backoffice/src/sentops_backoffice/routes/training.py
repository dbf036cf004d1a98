"""Trainings: the list, a new one, one with its progress, stopping it, comparing several."""

from enum import StrEnum
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from sentops_backoffice.access import ActorDep, needs
from sentops_backoffice.comparison import MOST, chosen_pair, compare_runs, disagreements
from sentops_backoffice.deps import Parts, PartsDep
from sentops_backoffice.form_reading import Mistake
from sentops_backoffice.forms import read_form, text_fields
from sentops_backoffice.operations import change_job, start_training
from sentops_backoffice.page import Page, PageDep
from sentops_backoffice.routes.training_api import Train
from sentops_backoffice.training_charts import curve_charts
from sentops_backoffice.training_form import (
    HYPERPARAMETERS,
    IN_STEPS,
    NAMED_BASES,
    ONLY_FINE_TUNE,
    read_training_form,
)
from sentops_backoffice.trainings import (
    job_lines,
    job_page,
    loses_something,
    may,
    newest_datasets,
    next_of,
)
from sentops_core.domain.base import ResourceName
from sentops_core.domain.disagreement import WhoIsRight
from sentops_core.domain.errors import InvalidInput, NotFound, PlatformError
from sentops_core.domain.resources import DEFAULTS
from sentops_core.http.errors import status_of
from sentops_core.store.pool import transaction
from sentops_core.store.tokens import Role
from sentops_core.store.training_jobs import TrainingJobs

router = APIRouter(tags=["pages"], include_in_schema=False)

_CURRENT = "training"


class JobAction(StrEnum):
    SUSPEND = "suspend"
    RESUME = "resume"
    CANCEL = "cancel"


@router.get("/training", summary="Trainings, newest first")
async def get_trainings(
    page: PageDep, parts: PartsDep, before: Annotated[str, Query(max_length=150)] = ""
) -> Response:
    lines = await job_lines(parts, before)
    datasets = await newest_datasets(parts)
    return page.render(
        "training.html",
        current=_CURRENT,
        lines=lines,
        newest=datasets[0] if datasets else None,
        before=before,
        next=next_of(lines),
        most=MOST,
    )


@router.get("/train", summary="The form that starts a training")
@needs(Role.ADMIN)
async def get_new(
    page: PageDep, parts: PartsDep, dataset: Annotated[str, Query(max_length=100)] = ""
) -> Response:
    return await _form(page, parts, {"dataset_id": dataset} if dataset else {})


@router.post("/train", summary="Start a training")
async def post_train(request: Request, page: PageDep, actor: ActorDep, parts: PartsDep) -> Response:
    fields = text_fields(await read_form(request))
    filled = read_training_form(fields)
    if filled.mistakes:
        return await _form(page, parts, fields, mistakes=filled.mistakes)
    try:
        Train.model_validate(filled.body)
        accepted = await start_training(parts, filled.body, actor=actor.name)
    except PlatformError as error:
        return await _form(page, parts, fields, refused=error)
    except ValueError as error:
        return await _form(page, parts, fields, refused=InvalidInput(str(error)))
    name = str(accepted["name"])
    async with transaction(parts.pool) as connection:
        # In a cluster the tables follow within seconds.
        known = await TrainingJobs(connection).find(name) is not None
    return page.see(
        f"/backoffice/training/{name}" if known else "/backoffice/training", "training.started"
    )


async def _form(
    page: Page,
    parts: Parts,
    fields: dict[str, str],
    *,
    mistakes: dict[str, Mistake] | None = None,
    refused: PlatformError | None = None,
) -> Response:
    status = 422 if mistakes else 200
    return page.render(
        "training_new.html",
        status=status_of(refused) if refused else status,
        current=_CURRENT,
        fields=fields,
        mistakes={name: one.in_words(page.words) for name, one in (mistakes or {}).items()},
        refused=refused,
        datasets=await newest_datasets(parts),
        bases=NAMED_BASES,
        hyperparameters=list(HYPERPARAMETERS),
        only_fine_tune=ONLY_FINE_TUNE,
        defaults={name: str(value) for name, value in DEFAULTS.model_dump().items()}
        | {"seed": "42"},
        in_steps=IN_STEPS,
    )


@router.get("/compare", summary="Two or more trainings side by side")
async def get_compare(
    page: PageDep,
    parts: PartsDep,
    job: Annotated[list[ResourceName], Query(max_length=20)] = [],  # noqa: B006 - FastAPI copies it
    pair: Annotated[str, Query(max_length=2)] = "",
    who: WhoIsRight | Literal[""] = "",
    after: Annotated[str, Query(pattern="^([0-9a-f]{64})?$")] = "",
) -> Response:
    if not 2 <= len(set(job)) <= MOST:
        return page.see("/backoffice/training", "training.choose")
    comparison = await compare_runs(parts, job)
    first, second = chosen_pair(comparison, pair)
    found = await disagreements(parts, first, second, who=who or None, after=after)
    return page.render(
        "training_compare.html",
        current=_CURRENT,
        comparison=comparison,
        found=found,
        who=who,
        whos=list(WhoIsRight),
        after=after,
    )


@router.get("/training/{name}", summary="One training with its progress")
async def get_training(name: ResourceName, page: PageDep, parts: PartsDep) -> Response:
    shown = await job_page(parts, name)
    return page.render(
        "training_job.html",
        current=_CURRENT,
        shown=shown,
        charts_of_it=curve_charts(shown, page.words, page.formats),
        actions=may(shown.line.row),
        loses=loses_something,
    )


@router.get("/training/{name}/{action}", summary="What stopping a training will do")
@needs(Role.ADMIN)
async def get_confirm(
    name: ResourceName, action: JobAction, page: PageDep, parts: PartsDep
) -> Response:
    return await _confirm(name, action, page, parts)


@router.post("/training/{name}/{action}", summary="Suspend, resume or cancel a training")
async def post_job(
    name: ResourceName, action: JobAction, page: PageDep, actor: ActorDep, parts: PartsDep
) -> Response:
    try:
        await change_job(parts, name, action, actor=actor.name)
    except PlatformError as error:
        return await _confirm(name, action, page, parts, refused=error)
    return page.see(f"/backoffice/training/{name}", f"training.{action}")


async def _confirm(
    name: str,
    action: JobAction,
    page: Page,
    parts: PartsDep,
    *,
    refused: PlatformError | None = None,
) -> Response:
    async with transaction(parts.pool) as connection:
        row = await TrainingJobs(connection).find(name)
    if row is None:
        raise refused or NotFound(
            f"There is no training job {name}.", saying="no_training", facts={"name": name}
        )
    return page.render(
        "training_confirm.html",
        status=status_of(refused) if refused else 200,
        current=_CURRENT,
        row=row,
        action=action,
        possible=action in may(row),
        loses=loses_something(row, action),
        refused=refused,
    )
