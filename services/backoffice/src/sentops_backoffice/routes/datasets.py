"""Dataset versions: what there is, and making new ones."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from sentops_backoffice.access import ActorDep, needs
from sentops_backoffice.deps import Connection, PartsDep
from sentops_backoffice.operations import build_feedback_version
from sentops_backoffice.page import PageDep
from sentops_backoffice.uploads import build_from_upload
from sentops_core.store.datasets import Datasets
from sentops_core.store.tokens import Role

router = APIRouter(tags=["pages"], include_in_schema=False)

_ROWS = 100


@router.get("/datasets/{version}", summary="One dataset version with its report and rows")
async def get_dataset(
    version: str,
    page: PageDep,
    connection: Connection,
    after: Annotated[str, Query(pattern="^([0-9a-f]{64})?$")] = "",
) -> Response:
    datasets = Datasets(connection)
    row = await datasets.version(version)
    members = await datasets.members(row.name, after=bytes.fromhex(after), limit=_ROWS)
    return page.render(
        "dataset.html",
        current="datasets",
        version=row,
        rows=members,
        next=members[-1].content_hash.hex() if len(members) == _ROWS else "",
    )


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
