"""Demo data, done by staff: texts labelled by two annotators, votes reviewed, a source in quarantine."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sentops_backoffice.labelling import (
    change_settings,
    decide,
    fill,
    give_label,
    mark_gold,
    next_item,
    skip,
    write_gold,
)
from sentops_backoffice.reviewing import quarantine, review
from sentops_core.domain.labelling import State
from sentops_core.language import language_detector
from sentops_core.store.feedback_inbox import FeedbackInbox, InboxFilter, Review
from sentops_core.store.labelling import Labelling
from sentops_core.store.pool import Connection, open_pool, transaction
from tests.support.demo_texts import HOSTILE_NOTE

_LABELS = ("negative", "neutral", "positive")


async def do_staff_work(database_url: str, *, labelled: int = 30) -> None:
    """By the same functions as the pages; needs a platform from `fill_demo`."""
    pool = await open_pool(database_url, max_size=2)
    now = datetime.now(UTC)
    try:
        async with transaction(pool) as connection:
            await fill(connection, now=now, every=timedelta(0))
            wanted = replace(await Labelling(connection).settings(), opinions=2)
            await change_settings(connection, wanted, "anna", now=now)
        async with transaction(pool) as connection:
            await _label(connection, now, labelled)
            await _gold(connection, now)
        async with transaction(pool) as connection:
            await _review(connection, now)
    finally:
        await pool.close()


async def _label(connection: Connection, now: datetime, count: int) -> None:
    """Bruno and Chiara see the same texts; now and then they disagree, and one is decided."""
    for number in range(count):
        for annotator in ("bruno", "chiara"):
            item = await next_item(connection, annotator, now=now)
            if item is None:
                return
            if number % 11 == 10 and annotator == "bruno":
                await skip(connection, item.id, annotator, now=now)
                continue
            label = item.predicted_label or "neutral"
            if number % 5 == 4 and annotator == "chiara":
                label = _LABELS[(_LABELS.index(label) + 1) % 3]
            note = HOSTILE_NOTE if number % 5 == 4 else ""
            await give_label(connection, item.id, annotator, label, now=now, note=note)
    contested = await Labelling(connection).in_state(State.CONTESTED)
    for item in contested[:1]:
        await decide(connection, item.id, "anna", "negative", admin=True, now=now)


async def _gold(connection: Connection, now: datetime) -> None:
    await write_gold(
        connection,
        "Perfetto, lo ricomprerei <b>subito</b>.",
        "positive",
        "anna",
        detect_language=language_detector(),
        now=now,
    )
    done = await Labelling(connection).in_state(State.DONE)
    for item in done[:2]:
        await mark_gold(connection, item.id, item.label or "neutral", "anna", now=now)


async def _review(connection: Connection, now: datetime) -> None:
    inbox = FeedbackInbox(connection)
    votes = (await inbox.page(InboxFilter(), limit=12)).rows
    for number, wanted in enumerate((Review.ACCEPTED, Review.REFUSED, Review.CORRECTED)):
        chosen = [one.vote_id for one in votes[number * 3 : number * 3 + 3]]
        await review(connection, chosen, wanted, label="neutral", actor="bruno", now=now)
    if votes:
        await quarantine(
            connection, "client", votes[-1].client, note=HOSTILE_NOTE, actor="anna", now=now
        )
