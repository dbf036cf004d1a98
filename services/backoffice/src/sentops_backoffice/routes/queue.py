"""The labelling queue: one text at a time, adjudication, agreement, gold."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from sentops_backoffice import labelling
from sentops_backoffice.access import Actor, ActorDep, needs
from sentops_backoffice.deps import Connection, PartsDep
from sentops_backoffice.forms import read_form, text_fields
from sentops_backoffice.labelling_figures import NEWEST_TEXTS, agreement
from sentops_backoffice.labelling_views import ItemView, Look, item_view
from sentops_backoffice.own_votes import BeforeOwn, own_vote_after, own_vote_of
from sentops_backoffice.page import Page, PageDep
from sentops_backoffice.sentences import said
from sentops_core.domain.errors import InvalidInput
from sentops_core.domain.labelling import State
from sentops_core.store.labelling import Labelling, LabellingSettings
from sentops_core.store.labelling_figures import LabellingFigures
from sentops_core.store.pool import Connection as StoreConnection
from sentops_core.store.tokens import Role

router = APIRouter(prefix="/queue", tags=["pages"], include_in_schema=False)

QUEUE = "/backoffice/queue"
_ROWS = 50
_LAST_ID = 2**63 - 1
_ON = "1"
ItemId = Annotated[int, Path(ge=1, le=_LAST_ID)]
Before = Annotated[int | None, Query(ge=1, le=_LAST_ID)]
NotedQuery = Annotated[str, Query(max_length=20)]


@router.get("", summary="The labelling queue: how far it is, and where to begin")
async def get_queue(
    page: PageDep,
    connection: Connection,
    actor: ActorDep,
    was: Before = None,
    noted: NotedQuery = "",
) -> Response:
    now = datetime.now(UTC)
    store = Labelling(connection)
    return page.render(
        "queue.html",
        current="queue",
        progress=await LabellingFigures(connection).progress(today=labelling.today(now)),
        settings=await store.settings(),
        mine=await store.turns(actor.name),
        was=await _was(connection, actor, was),
        noted=noted,
    )


@router.post("/next", summary="Take the next text")
@needs(Role.ANNOTATOR)
async def post_next(page: PageDep, connection: Connection, actor: ActorDep) -> Response:
    return await _next(page, connection, actor)


@router.get("/items/{item_id}", summary="One text of the queue")
async def get_item(
    item_id: ItemId,
    page: PageDep,
    connection: Connection,
    actor: ActorDep,
    was: Before = None,
    noted: NotedQuery = "",
) -> Response:
    view = await item_view(connection, item_id, actor)
    now = datetime.now(UTC)
    return page.render(
        "queue_item.html" if view.look is Look.LABEL else "queue_text.html",
        current="queue",
        item=view,
        labels=await labelling.labels_in_use(connection),
        now=now,
        mine=await Labelling(connection).turns(actor.name),
        was=await _was(connection, actor, was),
        noted=noted,
        longest_note=labelling.LONGEST_NOTE,
    )


@router.post("/items/{item_id}/label", summary="Label a text, and take the next")
@needs(Role.ANNOTATOR)
async def post_label(
    item_id: ItemId, request: Request, page: PageDep, connection: Connection, actor: ActorDep
) -> Response:
    fields = text_fields(await read_form(request))
    label, note = fields.get("label", ""), fields.get("note", "")
    try:
        done = await labelling.give_label(
            connection,
            item_id,
            actor.name,
            label,
            now=datetime.now(UTC),
            note=note,
            change=fields.get("change") == _ON,
        )
    except labelling.SaidOtherwise as refusal:
        # Nothing is lost: both answers are on the page, and a button for each.
        return page.render(
            "queue_changed.html",
            status=409,
            current="queue",
            item=await item_view(connection, item_id, actor),
            before=refusal.details["before"],
            label=label,
            note=note,
        )
    return await _next(page, connection, actor, was=item_id, noted=done.noted)


@router.post("/items/{item_id}/skip", summary="Leave a text to others, and take the next")
@needs(Role.ANNOTATOR)
async def post_skip(
    item_id: ItemId, page: PageDep, connection: Connection, actor: ActorDep
) -> Response:
    await labelling.skip(connection, item_id, actor.name, now=datetime.now(UTC))
    return await _next(page, connection, actor, was=item_id, noted="skipped")


@router.post("/undo", summary="Take one's last answer back")
@needs(Role.ANNOTATOR)
async def post_undo(page: PageDep, connection: Connection, actor: ActorDep) -> Response:
    item = await labelling.undo(connection, actor.name, now=datetime.now(UTC))
    return page.see(f"{QUEUE}/items/{item.id}", done="queue_undone")


@router.get("/mine", summary="One's own answers")
async def get_mine(
    page: PageDep,
    connection: Connection,
    actor: ActorDep,
    before: BeforeOwn = "",
) -> Response:
    votes = await Labelling(connection).own_votes(
        actor.name, before=own_vote_of(before), limit=_ROWS
    )
    older = own_vote_after(votes, _ROWS)
    return page.render("queue_mine.html", current="queue", votes=votes, older=older)


@router.get("/adjudication", summary="Texts that people label differently")
async def get_adjudication(
    page: PageDep, connection: Connection, before: Before = None
) -> Response:
    store = Labelling(connection)
    rows = await store.in_state(State.CONTESTED, before=before, limit=_ROWS)
    return page.render(
        "queue_adjudication.html",
        current="queue",
        rows=[(row, await store.votes(row.id)) for row in rows],
        older=rows[-1].id if len(rows) == _ROWS else None,
    )


@router.post("/items/{item_id}/decide", summary="Settle a text that people label differently")
@needs(Role.ANNOTATOR)
async def post_decide(
    item_id: ItemId, request: Request, page: PageDep, connection: Connection, actor: ActorDep
) -> Response:
    fields = text_fields(await read_form(request))
    label = fields.get("label", "")
    seen = fields.get("seen", "")
    if seen not in set(State):
        raise said(InvalidInput("Say which state was seen."), "queue.problem.seen")
    drop = fields.get("drop") == _ON
    if not drop and not label:
        raise said(InvalidInput("Choose a label."), "queue.problem.no_label")
    await labelling.decide(
        connection,
        item_id,
        actor.name,
        None if drop else label,
        admin=actor.may("admin"),
        now=datetime.now(UTC),
        seen=State(seen),
    )
    if State(seen) is State.CONTESTED:
        return page.see(f"{QUEUE}/adjudication", done="queue_decided")
    return page.see(f"{QUEUE}/items/{item_id}", done="queue_decided")


@router.get("/agreement", summary="How far annotators agree")
async def get_agreement(page: PageDep, connection: Connection) -> Response:
    found = await agreement(connection)
    return page.render("queue_agreement.html", current="queue", found=found, newest=NEWEST_TEXTS)


@router.get("/texts", summary="Texts of the queue by state")
@needs(Role.ADMIN)
async def get_texts(
    page: PageDep,
    connection: Connection,
    state: Annotated[
        Literal["open", "contested", "done", "dropped", "expired", "gold"], Query()
    ] = "open",
    before: Before = None,
) -> Response:
    store = Labelling(connection)
    if state == "gold":
        rows = await store.gold(before=before, limit=_ROWS)
    else:
        rows = await store.in_state(State(state), before=before, limit=_ROWS)
    return page.render(
        "queue_texts.html",
        current="queue",
        rows=rows,
        state=state,
        states=[*State, "gold"],
        labels=await labelling.labels_in_use(connection),
        older=rows[-1].id if len(rows) == _ROWS else None,
        longest_text=labelling.LONGEST_TEXT,
    )


@router.post("/gold", summary="Write a text whose label is known")
async def post_gold(
    request: Request, page: PageDep, parts: PartsDep, connection: Connection, actor: ActorDep
) -> Response:
    fields = text_fields(await read_form(request))
    await labelling.write_gold(
        connection,
        fields.get("text", ""),
        fields.get("label", ""),
        actor.name,
        detect_language=parts.detect_language,
        now=datetime.now(UTC),
    )
    return page.see(f"{QUEUE}/texts", done="queue_gold", state="gold")


@router.post("/items/{item_id}/gold", summary="Mark or unmark a text whose label is known")
async def post_item_gold(
    item_id: ItemId, request: Request, page: PageDep, connection: Connection, actor: ActorDep
) -> Response:
    fields = text_fields(await read_form(request))
    if label := fields.get("label", ""):
        await labelling.mark_gold(connection, item_id, label, actor.name, now=datetime.now(UTC))
        return page.see(f"{QUEUE}/items/{item_id}", done="queue_gold")
    await labelling.unmark_gold(connection, item_id, actor.name)
    return page.see(f"{QUEUE}/items/{item_id}", done="queue_not_gold")


@router.get("/settings", summary="How the queue works")
@needs(Role.ADMIN)
async def get_settings(page: PageDep, connection: Connection) -> Response:
    return page.render(
        "queue_settings.html",
        current="queue",
        settings=await Labelling(connection).settings(),
    )


@router.post("/settings", summary="Change how the queue works")
async def post_settings(
    request: Request, page: PageDep, connection: Connection, actor: ActorDep
) -> Response:
    fields = text_fields(await read_form(request))
    wanted = LabellingSettings(
        opinions=_whole(fields, "opinions", 1, 5),
        random_share=_whole(fields, "random_share", 0, 100) / 100,
        gold_share=_whole(fields, "gold_share", 0, 50) / 100,
        claim_minutes=_whole(fields, "claim_minutes", 1, 1440),
    )
    await labelling.change_settings(connection, wanted, actor.name, now=datetime.now(UTC))
    return page.see(f"{QUEUE}/settings", done="queue_settings")


async def _next(
    page: Page,
    connection: StoreConnection,
    actor: Actor,
    *,
    was: int | None = None,
    noted: str = "",
) -> Response:
    """To the next text, with a word on the one before."""
    item = await labelling.next_item(connection, actor.name, now=datetime.now(UTC))
    query = {"was": str(was), "noted": noted} if was is not None else {}
    if item is None:
        return page.see(QUEUE, done="queue_empty", **query)
    return page.see(f"{QUEUE}/items/{item.id}", **query)


async def _was(connection: StoreConnection, actor: Actor, item_id: int | None) -> ItemView | None:
    """The text that was just labelled or skipped: nothing of anybody else's."""
    if item_id is None or not actor.may("annotator"):
        return None
    view = await item_view(connection, item_id, actor)
    return view if view.own is not None else None


def _whole(fields: dict[str, str], name: str, low: int, high: int) -> int:
    text = fields.get(name, "").strip()
    if not text.isascii() or not text.isdecimal() or not low <= int(text[:9]) <= high:
        raise said(
            InvalidInput(f"{name} is a whole number from {low} to {high}."),
            f"queue.problem.{name}",
            low=low,
            high=high,
        )
    return int(text)
