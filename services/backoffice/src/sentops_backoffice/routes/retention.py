"""How long predictions are kept, for admins: what holds now, and what a change will delete."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from sentops_backoffice.access import ActorDep, needs
from sentops_backoffice.deps import Connection
from sentops_backoffice.forms import read_form, text_fields
from sentops_backoffice.page import Page, PageDep
from sentops_backoffice.sentences import said, sentence_of
from sentops_core.domain.errors import InvalidInput
from sentops_core.store.audit import Audit
from sentops_core.store.pool import Connection as StoreConnection
from sentops_core.store.retention import COUNTED_ROWS, Doomed, RetentionRow, RetentionTable
from sentops_core.store.tokens import Role

router = APIRouter(prefix="/retention", tags=["settings"], include_in_schema=False)

LONGEST = 36_500
_SHORTEST = 1


def days_of(text: str) -> int | None:
    """Empty: nobody chooses. InvalidInput for what is no number of days."""
    text = text.strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()) or not _SHORTEST <= int(text) <= LONGEST:
        raise said(
            InvalidInput(f"Give whole days from {_SHORTEST} to {LONGEST}, or nothing."),
            "retention.bad_days",
            shortest=_SHORTEST,
            longest=LONGEST,
        )
    return int(text)


async def choose_retention(connection: StoreConnection, days: int | None, *, actor: str) -> None:
    """From the next housekeeping on; saying the same again changes nothing."""
    table = RetentionTable(connection)
    before = (await table.get()).retention.chosen
    if before == _length(days):
        return
    await table.choose(days, by=actor)
    evidence = {"before": before.days if before else None, "after": days}
    await Audit(connection).record(actor, "retention.changed", "predictions", evidence)


async def doomed_by(
    connection: StoreConnection, now_held: RetentionRow, days: int | None, *, now: datetime
) -> tuple[datetime | None, Doomed | None]:
    """The first moment that would be kept, and what lies before it; None: nothing would ever go."""
    first_kept = replace(now_held.retention, chosen=_length(days)).first_kept(now)
    if first_kept is None:
        return None, None
    return first_kept, await RetentionTable(connection).doomed(first_kept)


@router.get("", summary="How long predictions are kept")
@needs(Role.ADMIN)
async def get_retention(page: PageDep, connection: Connection) -> Response:
    return await _page(page, connection)


@router.get("/change", summary="What another length will delete")
@needs(Role.ADMIN)
async def get_change(
    page: PageDep, connection: Connection, days: Annotated[str, Query(max_length=20)] = ""
) -> Response:
    try:
        wanted = days_of(days)
    except InvalidInput as error:
        return await _page(page, connection, sentence=sentence_of(error, page.words), days=days)
    row = await RetentionTable(connection).get()
    now = datetime.now(UTC)
    first_kept, doomed = await doomed_by(connection, row, wanted, now=now)
    limit = row.retention.limit
    return page.render(
        "retention_change.html",
        current="settings",
        row=row,
        days=wanted,
        beyond_limit=limit is not None and (wanted is None or timedelta(days=wanted) > limit),
        first_kept=first_kept,
        doomed=doomed,
        counted=COUNTED_ROWS,
    )


@router.post("", summary="Choose how long predictions are kept")
async def post_retention(
    request: Request, actor: ActorDep, page: PageDep, connection: Connection
) -> Response:
    fields = text_fields(await read_form(request))
    await choose_retention(connection, days_of(fields.get("days", "")[:20]), actor=actor.name)
    return page.see("/backoffice/retention", done="retention.changed")


async def _page(
    page: Page, connection: StoreConnection, *, sentence: str = "", days: str | None = None
) -> Response:
    now = datetime.now(UTC)
    row = await RetentionTable(connection).get()
    chosen = row.retention.chosen
    first_kept, doomed = await doomed_by(connection, row, chosen.days if chosen else None, now=now)
    return page.render(
        "retention.html",
        status=422 if sentence else 200,
        current="settings",
        row=row,
        first_kept=first_kept,
        doomed=doomed,
        counted=COUNTED_ROWS,
        now=now,
        longest=LONGEST,
        sentence=sentence,
        days=(chosen.days if chosen else "") if days is None else days,
    )


def _length(days: int | None) -> timedelta | None:
    return None if days is None else timedelta(days=days)
