"""Many texts without script: the same table as the API's, and troubles as a page in words."""

from typing import Annotated

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import Response

from sentops_core.domain.errors import PlatformError
from sentops_web.deps import PartsOf
from sentops_web.routes.predictions import table_answer
from sentops_web.routes.visit import Kept, Visit

router = APIRouter(include_in_schema=False)


@router.post("/many")
async def many(
    request: Request,
    parts: PartsOf,
    file: Annotated[UploadFile | None, File()] = None,
    lines: Annotated[str | None, Form()] = None,
    column: Annotated[str | None, Form()] = None,
) -> Response:
    visit = Visit(request, parts)
    try:
        return visit.finish(await table_answer(file, lines, column, parts, visit.client))
    except PlatformError as error:
        columns = error.details.get("columns", ())
        names = columns if isinstance(columns, list | tuple) else ()
        kept = Kept(lines=lines or "", columns=tuple(str(name) for name in names))
        return await visit.whole(error=error, in_many=True, kept=kept)
