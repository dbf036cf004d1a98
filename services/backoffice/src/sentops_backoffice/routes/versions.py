"""Model versions: what they are worth, who serves, and changing it; where a version or an answer comes from."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from sentops_backoffice.access import ActorDep, needs
from sentops_backoffice.deps import PartsDep
from sentops_backoffice.forms import read_form, text_fields
from sentops_backoffice.operations import change_version
from sentops_backoffice.page import PageDep
from sentops_backoffice.timeline import timeline
from sentops_backoffice.version_views import (
    LISTED,
    VersionAction,
    consequences,
    serving_spells,
    version_lines,
    version_page,
)
from sentops_core.domain.base import ResourceName
from sentops_core.domain.errors import InvalidInput, NotFound, PlatformError
from sentops_core.http.errors import status_of
from sentops_core.store.lineage import lineage, prediction_uuid
from sentops_core.store.pool import transaction
from sentops_core.store.tokens import Role

router = APIRouter(tags=["pages"], include_in_schema=False)

_CURRENT = "versions"
_LONGEST_REASON = 500


@router.get("/versions", summary="Model versions, and who served when")
async def get_versions(
    page: PageDep, parts: PartsDep, before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None
) -> Response:
    lines = await version_lines(parts, before=before)
    return page.render(
        "versions.html",
        current=_CURRENT,
        lines=lines,
        before=before,
        next=lines[-1].version.spec.version if len(lines) == LISTED else None,
        history=timeline(await serving_spells(parts), now=datetime.now(UTC)),
    )


@router.get("/versions/{name}", summary="One model version with its evidence")
async def get_version(name: ResourceName, page: PageDep, parts: PartsDep) -> Response:
    shown = await version_page(parts, name)
    return page.render("version.html", current=_CURRENT, shown=shown)


@router.get("/versions/{name}/{action}", summary="What changing who serves will do")
@needs(Role.ADMIN)
async def get_confirm(
    name: ResourceName, action: VersionAction, page: PageDep, parts: PartsDep
) -> Response:
    return await _confirm(name, action, page, parts, {})


@router.post(
    "/versions/{name}/{action}", summary="Promote, approve, archive or roll back a version"
)
async def post_version(
    name: ResourceName,
    action: VersionAction,
    request: Request,
    page: PageDep,
    actor: ActorDep,
    parts: PartsDep,
) -> Response:
    fields = text_fields(await read_form(request))
    try:
        await change_version(parts, name, action, _wanted(action, fields), actor=actor.name)
    except PlatformError as error:
        return await _confirm(name, action, page, parts, fields, refused=error)
    return page.see(f"/backoffice/versions/{name}", f"versions.{action}")


def _wanted(action: VersionAction, fields: dict[str, str]) -> dict[str, object]:
    """What the control plane is sent; nothing where nothing was said."""
    reason = fields.get("reason", "").strip()
    if len(reason) > _LONGEST_REASON:
        raise InvalidInput(
            f"A reason has {_LONGEST_REASON} characters at most.",
            saying="reason_too_long",
            facts={"most": _LONGEST_REASON},
        )
    wanted: dict[str, object] = {"reason": reason} if reason else {}
    if action is VersionAction.PROMOTE:
        wanted |= {name: True for name in ("force", "clear_quarantine") if fields.get(name)}
    return wanted


async def _confirm(
    name: str,
    action: VersionAction,
    page: PageDep,
    parts: PartsDep,
    fields: dict[str, str],
    *,
    refused: PlatformError | None = None,
) -> Response:
    try:
        shown = await consequences(parts, name, action)
    except NotFound as error:
        raise refused or error from None
    return page.render(
        "version_confirm.html",
        status=status_of(refused) if refused else 200,
        current=_CURRENT,
        shown=shown,
        fields=fields,
        refused=refused,
    )


@router.get("/lineage", summary="Ask where an answer comes from")
async def get_lineage_form(
    page: PageDep, prediction: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    wanted = prediction.strip().rstrip("/").rpartition("/")[2]
    if not wanted:
        return page.render("lineage.html", current=_CURRENT, found=None, asked="", unknown=False)
    try:
        return page.see(f"/backoffice/lineage/{prediction_uuid(wanted)}")
    except NotFound:
        return page.render(
            "lineage.html", status=404, current=_CURRENT, found=None, asked=wanted, unknown=True
        )


@router.get("/lineage/{prediction_id}", summary="From an answer to the rows behind it")
async def get_lineage(prediction_id: str, page: PageDep, parts: PartsDep) -> Response:
    try:
        async with transaction(parts.pool) as connection:
            found = await lineage(connection, prediction_uuid(prediction_id))
    except NotFound:
        return page.render(
            "lineage.html",
            status=404,
            current=_CURRENT,
            found=None,
            asked=prediction_id[:200],
            unknown=True,
        )
    return page.render(
        "lineage.html", current=_CURRENT, found=found, asked=prediction_id, unknown=False
    )
