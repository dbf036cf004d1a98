"""Old addresses: /backoffice/* of this port leads to the backoffice itself."""

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse

from sentops_trainer.deps import SettingsDep

router = APIRouter(include_in_schema=False)


@router.api_route("/backoffice/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def redirect(path: str, request: Request, settings: SettingsDep) -> RedirectResponse:
    query = f"?{request.url.query}" if request.url.query else ""
    # 307 keeps method and body, so that documented curl calls still work (with -L).
    return RedirectResponse(f"{settings.backoffice_url}/backoffice/{path}{query}", status_code=307)
