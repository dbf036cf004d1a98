"""Who serves: polled by web, so it is open, small and cheap to ask again."""

from typing import Annotated

from fastapi import APIRouter, Header, Response
from fastapi.responses import JSONResponse

from sentops_core.domain.resources import Routing
from sentops_trainer.deps import Control

router = APIRouter(tags=["routing"])


@router.get("/routing", summary="Who serves, and with which weight", response_model=Routing)
async def get_routing(
    control: Control,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    routing = await control.routing()
    etag = f'"{routing.revision}"'
    if if_none_match == etag:
        return Response(status_code=304, headers={"etag": etag})
    return JSONResponse(routing.to_document(), headers={"etag": etag})
