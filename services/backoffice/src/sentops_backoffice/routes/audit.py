"""Who did what."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from sentops_backoffice.deps import Connection
from sentops_backoffice.page import PageDep
from sentops_core.store.audit import Audit

router = APIRouter(tags=["pages"], include_in_schema=False)

_ROWS = 100


@router.get("/audit", summary="Who did what")
async def get_audit(
    page: PageDep,
    connection: Connection,
    before: Annotated[int | None, Query(ge=1)] = None,
) -> Response:
    lines = await Audit(connection).newest(before=before, limit=_ROWS)
    return page.render(
        "audit.html",
        current="audit",
        lines=lines,
        next=lines[-1].id if len(lines) == _ROWS else None,
    )
