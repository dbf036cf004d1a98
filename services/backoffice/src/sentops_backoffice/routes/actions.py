"""The buttons of the overview: each is a form, each ends in a page."""

from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from sentops_backoffice.access import ActorDep, needs
from sentops_backoffice.deps import PartsDep
from sentops_backoffice.forms import read_form, text_fields
from sentops_backoffice.operations import build_feedback_version, start_training
from sentops_backoffice.uploads import build_from_upload
from sentops_core.domain.base import ResourceName
from sentops_core.store.tokens import Role

router = APIRouter(tags=["pages"], include_in_schema=False)


@router.post("/datasets", summary="Upload a dataset")
@needs(Role.ANNOTATOR)
async def post_dataset(request: Request, actor: ActorDep, parts: PartsDep) -> Response:
    built = await build_from_upload(request, parts, actor=actor.name)
    return RedirectResponse(f"/backoffice/datasets/{built.version.name}", 303)


@router.post("/datasets/from-feedback", summary="Build a dataset version with people's votes")
@needs(Role.ANNOTATOR)
async def post_from_feedback(actor: ActorDep, parts: PartsDep) -> Response:
    built = await build_feedback_version(parts, actor=actor.name)
    return RedirectResponse(f"/backoffice/datasets/{built.version.name}", 303)


@router.post("/train", summary="Start a training")
async def post_train(request: Request, actor: ActorDep, parts: PartsDep) -> Response:
    fields = text_fields(await read_form(request))
    fields.pop("csrf", None)
    await start_training(parts, fields, actor=actor.name)
    return RedirectResponse("/backoffice/index", 303)


@router.post(
    "/versions/{name}/{action}", summary="Promote, approve, archive or roll back a version"
)
async def post_version(
    name: ResourceName,
    action: Literal["promote", "approve", "archive", "rollback"],
    actor: ActorDep,
    parts: PartsDep,
) -> Response:
    await parts.trainer.post(f"/model-versions/{name}/{action}", actor=actor.name)
    return RedirectResponse("/backoffice/index", 303)


@router.post("/training-jobs/{name}/{action}", summary="Suspend, resume or cancel a training")
async def post_job(
    name: ResourceName,
    action: Literal["suspend", "resume", "cancel"],
    actor: ActorDep,
    parts: PartsDep,
) -> Response:
    await parts.trainer.post(f"/training-jobs/{name}/{action}", actor=actor.name)
    return RedirectResponse("/backoffice/index", 303)
