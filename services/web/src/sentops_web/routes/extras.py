"""Status of the loop, the documentation, the favicon."""

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse

from sentops_web.deps import PartsOf
from sentops_web.pages import STATIC
from sentops_web.status import Status

router = APIRouter()


@router.get("/api/status", tags=["status"], summary="Is there a model, and what is being trained?")
async def get_status(parts: PartsOf) -> Status:
    return await parts.status.look()


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    return HTMLResponse(request.state.pages.render("docs.html"))


@router.get("/favicon.ico", include_in_schema=False)
async def favicon() -> FileResponse:
    return FileResponse(STATIC / "favicon.svg", media_type="image/svg+xml")
