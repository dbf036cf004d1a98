"""The overview: what serves, how good it is, what waits for people."""

from fastapi import APIRouter
from fastapi.responses import Response

from sentops_backoffice.deps import Connection, PartsDep
from sentops_backoffice.page import PageDep
from sentops_backoffice.views import overview

router = APIRouter(tags=["pages"], include_in_schema=False)


@router.get("/index", summary="The overview")
async def get_index(page: PageDep, parts: PartsDep, connection: Connection) -> Response:
    shown = await overview(connection, parts.settings.model_name)
    return page.render("index.html", current="overview", shown=shown)
