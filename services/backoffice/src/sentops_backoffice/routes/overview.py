"""The pages that show what there is."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from sentops_backoffice.access import ActorDep
from sentops_backoffice.deps import Connection, PartsDep
from sentops_backoffice.views import overview
from sentops_core.store.audit import Audit
from sentops_core.store.datasets import Datasets

router = APIRouter(tags=["pages"], include_in_schema=False)

_ROWS = 100


@router.get("/index", summary="The overview")
async def get_index(actor: ActorDep, parts: PartsDep, connection: Connection) -> Response:
    shown = await overview(connection, parts.settings.model_name)
    page: Response = parts.pages.render("index.html", actor=actor, shown=shown)
    return page


@router.get("/datasets/{version}", summary="One dataset version with its report and rows")
async def get_dataset(
    version: str,
    actor: ActorDep,
    parts: PartsDep,
    connection: Connection,
    after: Annotated[str, Query(pattern="^([0-9a-f]{64})?$")] = "",
) -> Response:
    datasets = Datasets(connection)
    row = await datasets.version(version)
    members = await datasets.members(row.name, after=bytes.fromhex(after), limit=_ROWS)
    page: Response = parts.pages.render(
        "dataset.html",
        actor=actor,
        version=row,
        rows=members,
        next=members[-1].content_hash.hex() if len(members) == _ROWS else "",
    )
    return page


@router.get("/audit", summary="Who did what")
async def get_audit(
    actor: ActorDep,
    parts: PartsDep,
    connection: Connection,
    before: Annotated[int | None, Query(ge=1)] = None,
) -> Response:
    lines = await Audit(connection).newest(before=before, limit=_ROWS)
    page: Response = parts.pages.render(
        "audit.html",
        actor=actor,
        lines=lines,
        next=lines[-1].id if len(lines) == _ROWS else None,
    )
    return page
