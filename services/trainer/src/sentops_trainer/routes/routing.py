"""Who serves: polled by web, so it is open, small and cheap to ask again."""

import hashlib
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
    answer = JSONResponse((await control.routing()).to_document())
    # Of the content: a database put back from a backup counts its revisions anew.
    etag = f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
    if if_none_match == etag:
        return Response(status_code=304, headers={"etag": etag})
    answer.headers["etag"] = etag
    return answer
