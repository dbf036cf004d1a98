"""Trainings: start one, watch it, stop it."""

from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from sentops_backoffice.access import ActorDep
from sentops_backoffice.deps import PartsDep
from sentops_backoffice.forms import read_form, text_fields
from sentops_backoffice.operations import start_training
from sentops_core.domain.base import ResourceName

router = APIRouter(tags=["pages"], include_in_schema=False)


@router.post("/train", summary="Start a training")
async def post_train(request: Request, actor: ActorDep, parts: PartsDep) -> Response:
    fields = text_fields(await read_form(request))
    fields.pop("csrf", None)
    await start_training(parts, fields, actor=actor.name)
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
