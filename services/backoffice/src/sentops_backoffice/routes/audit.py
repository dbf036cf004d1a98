"""Who did what, to what, and on which evidence: a page, an export and the same for programs."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse
from pydantic_core import to_json

from sentops_backoffice.audit_words import action_in_words, in_full, link_of, told
from sentops_backoffice.deps import Connection, PartsDep
from sentops_backoffice.page import PageDep
from sentops_core.datasets.spreadsheets import csv_lines
from sentops_core.domain.base import Body, Moment
from sentops_core.store.audit import Audit, AuditFilter, AuditRow
from sentops_core.store.pool import transaction

router = APIRouter(tags=["pages"], include_in_schema=False)
api = APIRouter(prefix="/api", tags=["platform"])

_ROWS = 50
_BATCH = 500
_HEAD = ("id", "at", "actor", "action", "subject", "evidence")

Who = Annotated[str, Query(max_length=200, description="Exactly this actor.")]
What = Annotated[str, Query(max_length=200, description="Such as model_version.promoted.")]
Whom = Annotated[str, Query(max_length=200, description="Exactly this subject.")]


@router.get("/audit", summary="Who did what")
async def get_audit(
    page: PageDep,
    connection: Connection,
    actor: Who = "",
    action: What = "",
    subject: Whom = "",
    since: Annotated[str, Query(max_length=10)] = "",
    until: Annotated[str, Query(max_length=10)] = "",
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> Response:
    """Days are whole ones, in UTC; a day that is none is taken for none."""
    asked = {
        "actor": actor.strip(),
        "action": action,
        "subject": subject.strip(),
        "since": since if _day(since) else "",
        "until": until if _day(until) else "",
    }
    audit = Audit(connection)
    lines = await audit.newest(_filter(asked), before=before, limit=_ROWS)
    given = {name: value for name, value in asked.items() if value}
    return page.render(
        "audit.html",
        current="audit",
        lines=lines,
        asked=asked,
        filtered=bool(given),
        actors=await audit.actors(),
        actions=sorted(
            ((one, action_in_words(page.words, one)) for one in await audit.actions()),
            key=lambda pair: pair[1],
        ),
        in_words=lambda one: action_in_words(page.words, one),
        told=told,
        in_full=in_full,
        link_of=link_of,
        export=lambda kind: (
            f"/backoffice/api/audit/export?{urlencode(_moments(asked) | {'format': kind})}"
        ),
        newest=f"/backoffice/audit?{urlencode(given)}" if before else "",
        older=f"/backoffice/audit?{urlencode({**given, 'before': lines[-1].id})}"
        if len(lines) == _ROWS
        else "",
    )


class AuditLine(Body):
    id: int
    at: Moment
    actor: str
    action: str
    subject: str
    evidence: dict[str, Any]


class AuditLines(Body):
    lines: list[AuditLine]


_EXAMPLE = {
    "lines": [
        {
            "id": 812,
            "at": "2026-11-21T12:00:00Z",
            "actor": "anna",
            "action": "model_version.approved",
            "subject": "sentiment-v9",
            "evidence": {"reason": "better on neutral texts"},
        }
    ]
}


@api.get(
    "/audit",
    summary="Who did what, newest first",
    responses={200: {"content": {"application/json": {"example": _EXAMPLE}}}},
)
async def get_lines(
    connection: Connection,
    actor: Who = "",
    action: What = "",
    subject: Whom = "",
    since: Annotated[datetime | None, Query(description="This moment or later.")] = None,
    until: Annotated[datetime | None, Query(description="Before this moment.")] = None,
    before: Annotated[
        int | None, Query(ge=1, le=2**63 - 1, description="The last id already seen.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> AuditLines:
    wanted = _wanted(actor, action, subject, since, until)
    rows = await Audit(connection).newest(wanted, before=before, limit=limit)
    return AuditLines(lines=[AuditLine(**asdict(row)) for row in rows])


@api.get(
    "/audit/export",
    summary="The audit log as a file, newest first",
    response_class=Response,
    responses={
        200: {
            "content": {
                "text/csv": {"example": "id,at,actor,action,subject,evidence\r\n"},
                "application/x-ndjson": {"example": '{"id":812,"actor":"anna"}\n'},
            }
        }
    },
)
async def get_export(
    parts: PartsDep,
    format: Annotated[Literal["csv", "jsonl"], Query()] = "csv",  # noqa: A002 - the name in the address
    actor: Who = "",
    action: What = "",
    subject: Whom = "",
    since: Annotated[datetime | None, Query(description="This moment or later.")] = None,
    until: Annotated[datetime | None, Query(description="Before this moment.")] = None,
) -> StreamingResponse:
    """However many lines there are. In the CSV, cells that a spreadsheet would run get a ' in front."""
    wanted = _wanted(actor, action, subject, since, until)
    kind = "text/csv; charset=utf-8" if format == "csv" else "application/x-ndjson"
    name = f"audit-{datetime.now(UTC):%Y-%m-%d}.{format}"
    return StreamingResponse(
        _file(parts.pool, wanted, as_csv=format == "csv"),
        media_type=kind,
        headers={"content-disposition": f'attachment; filename="{name}"'},
    )


async def _file(pool: Any, wanted: AuditFilter, *, as_csv: bool) -> AsyncIterator[str]:
    if as_csv:
        yield csv_lines([_HEAD])
    async with transaction(pool) as connection:
        batch: list[AuditRow] = []
        async for row in Audit(connection).all_lines(wanted):
            batch.append(row)
            if len(batch) == _BATCH:
                yield _text(batch, as_csv=as_csv)
                batch = []
        yield _text(batch, as_csv=as_csv)


def _text(rows: list[AuditRow], *, as_csv: bool) -> str:
    if as_csv:
        return csv_lines([_cells(row) for row in rows])
    return "".join(f"{to_json(asdict(row)).decode()}\n" for row in rows)


def _cells(row: AuditRow) -> tuple[str, ...]:
    evidence = to_json(row.evidence).decode() if row.evidence else ""
    return str(row.id), row.at.isoformat(), row.actor, row.action, row.subject, evidence


def _wanted(
    actor: str, action: str, subject: str, since: datetime | None, until: datetime | None
) -> AuditFilter:
    return AuditFilter(
        actor=actor.strip() or None,
        action=action or None,
        subject=subject.strip() or None,
        since=_in_utc(since),
        until=_in_utc(until),
    )


def _in_utc(moment: datetime | None) -> datetime | None:
    """A moment without a zone is one in UTC."""
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


def _filter(asked: Mapping[str, str]) -> AuditFilter:
    since, until = _day(asked["since"]), _day(asked["until"])
    return _wanted(
        asked["actor"],
        asked["action"],
        asked["subject"],
        datetime.combine(since, time(), UTC) if since else None,
        datetime.combine(until, time(), UTC) + timedelta(days=1) if until else None,
    )


def _moments(asked: Mapping[str, str]) -> dict[str, str]:
    """The page's days as the moments that the export takes."""
    wanted = _filter(asked)
    moments = {"since": wanted.since, "until": wanted.until}
    return {name: value for name, value in asked.items() if value and name not in moments} | {
        name: f"{moment:%Y-%m-%dT%H:%M:%SZ}" for name, moment in moments.items() if moment
    }


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if 1970 <= day.year < 9999 else None
