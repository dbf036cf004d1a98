"""Model versions: who serves, and changing it."""

from typing import Literal

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response

from sentops_backoffice.access import ActorDep
from sentops_backoffice.deps import PartsDep
from sentops_core.domain.base import ResourceName

router = APIRouter(tags=["pages"], include_in_schema=False)


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
