"""The labelling queue's rules on a real database: who gets which text, and what becomes of answers."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sentops_backoffice.labelling import (
    DecidedMeanwhile,
    Noted,
    NothingToUndo,
    NotYours,
    SaidOtherwise,
    TextGone,
    UnknownLabel,
    change_settings,
    decide,
    fill,
    give_label,
    mark_gold,
    next_item,
    skip,
    undo,
    unmark_gold,
    write_gold,
)
from sentops_core.datasets.building import BuildRequest, build_from_feedback, build_from_file
from sentops_core.datasets.reading import read_file
from sentops_core.domain.errors import InvalidInput
from sentops_core.domain.labelling import Reason, State, in_random_share
from sentops_core.domain.text import content_hash
from sentops_core.store.audit import Audit
from sentops_core.store.datasets import Datasets
from sentops_core.store.feedback import Feedback
from sentops_core.store.labelling import ItemRow, Labelling, LabellingSettings
from sentops_core.store.labelling_figures import LabellingFigures
from sentops_core.store.pool import Connection, Pool, transaction
from sentops_core.store.predictions import PredictionRow, Predictions
from sentops_core.store.quarantine import Quarantine
from tests.support.candidates import some_candidates
from tests.support.rows import a_prediction, a_vote

pytestmark = pytest.mark.pg

NOW = datetime.now(UTC).replace(microsecond=0)
SURE = {"positive": 0.97, "neutral": 0.02, "negative": 0.01}
ONLY_VALUE = LabellingSettings(opinions=1, random_share=0, gold_share=0, claim_minutes=15)


def in_italian(_: str) -> str:
    return "it"


def an_answer(
    text: str, top: float = 0.97, label: str = "positive", **fields: object
) -> PredictionRow:
    rest = (1 - top) / 2
    scores = {"negative": rest, "neutral": rest, "positive": rest} | {label: top}
    fields = {
        "text_hash": content_hash(text),
        "label": label,
        "score": top,
        "scores": scores,
    } | fields
    return a_prediction(NOW - timedelta(hours=1), text, **fields)


# By its hash a text of the random share; the other texts of these tests are none.
BY_CHANCE = next(text for n in range(1000) if in_random_share(content_hash(text := f"buono {n}")))


async def answered(connection: Connection, rows: Sequence[PredictionRow]) -> None:
    await Predictions(connection).copy_in(rows)


async def queue(connection: Connection, now: datetime = NOW) -> list[ItemRow]:
    await fill(connection, now=now, every=timedelta())
    return await Labelling(connection).in_state(State.OPEN)


async def with_settings(connection: Connection, **fields: object) -> None:
    wanted = replace(ONLY_VALUE, **fields)  # type: ignore[arg-type]
    await Labelling(connection).change_settings(wanted)


async def test_unsure_contested_and_disputed_answers_come_in_by_value(
    connection: Connection,
) -> None:
    await with_settings(connection)
    unsure, calm, other = an_answer("boh", 0.4), an_answer(BY_CHANCE), an_answer("ottimo")
    contested, disputed = an_answer("però"), an_answer("mah")
    shadow = replace(
        an_answer("mah", label="negative", shadow=True, model_version="sentiment-v2"),
        created_at=disputed.created_at + timedelta(milliseconds=5),
    )
    await answered(connection, [unsure, calm, other, contested, disputed, shadow])
    await Feedback(connection).upsert_many([a_vote(contested, "negative")])
    await fill(connection, now=NOW, every=timedelta())
    found = []
    for number in range(4):
        item = await next_item(connection, f"annotator-{number}", now=NOW)
        assert item is not None
        found.append((item.text, item.reason))
    assert found == [
        ("mah", Reason.DISAGREEMENT),
        ("però", Reason.CONTESTED),
        ("boh", Reason.UNCERTAIN),
        (BY_CHANCE, Reason.RANDOM),  # sure and uncontested, like the one that is not asked about
    ]
    disagreement = await Labelling(connection).item(
        next(
            row.id for row in await Labelling(connection).in_state(State.OPEN) if row.text == "mah"
        )
    )
    assert (disagreement.predicted_label, disagreement.candidate_label) == ("positive", "negative")
    assert disagreement.candidate_version == "sentiment-v2"


async def test_one_text_is_one_item_however_often_it_was_asked(connection: Connection) -> None:
    rows = [an_answer("boh", 0.4, client=f"client-{n}") for n in range(3)]
    await answered(connection, rows)
    await queue(connection)
    items = await queue(connection)
    assert [item.text for item in items] == ["boh"]


async def test_votes_of_quarantined_sources_contest_nothing(connection: Connection) -> None:
    await with_settings(connection)
    answer = an_answer("però")
    await answered(connection, [answer])
    await Feedback(connection).upsert_many([a_vote(answer, "negative", client="troll")])
    await Quarantine(connection).add("client", "troll", note="", evidence="", actor="ada")
    assert await queue(connection) == []


async def test_the_random_share_comes_by_chance_alone_however_hard_a_text_is(
    connection: Connection,
) -> None:
    await with_settings(connection, random_share=0)
    hard = an_answer(BY_CHANCE, 0.34)
    await answered(connection, [hard, an_answer("boh", 0.6)])
    await Feedback(connection).upsert_many([a_vote(hard, "negative")])
    items = {item.text: item for item in await queue(connection)}
    assert (items[BY_CHANCE].reason, items[BY_CHANCE].drawn) == (Reason.RANDOM, True)
    assert (items["boh"].reason, items["boh"].drawn) == (Reason.UNCERTAIN, False)
    first = await next_item(connection, "ada", now=NOW)
    assert first
    assert first.text == "boh"


async def test_labelled_texts_are_not_asked_for_again(connection: Connection) -> None:
    await answered(connection, [an_answer("boh", 0.4), an_answer(BY_CHANCE)])
    await connection.execute(
        "INSERT INTO examples (content_hash, text, label, source) VALUES ($1, 'boh', 'neutral', 'upload:x')",
        content_hash("boh"),
    )
    assert [item.text for item in await queue(connection)] == [BY_CHANCE]


async def test_the_queue_looks_for_texts_only_now_and_then(connection: Connection) -> None:
    assert await fill(connection, now=NOW) == 0
    await answered(connection, [an_answer("boh", 0.4)])
    assert await fill(connection, now=NOW + timedelta(seconds=5)) == 0
    assert await fill(connection, now=NOW + timedelta(seconds=25)) > 0


async def test_what_nobody_asked_about_in_time_is_forgotten(connection: Connection) -> None:
    await answered(connection, [an_answer("boh", 0.4)])
    assert len(await queue(connection)) == 1
    assert await queue(connection, NOW + timedelta(days=40)) == []


async def test_two_annotators_get_different_texts(connection: Connection) -> None:
    await with_settings(connection)
    await answered(connection, [an_answer("uno", 0.4), an_answer("due", 0.5)])
    ada, bruno, carla = [
        await next_item(connection, name, now=NOW) for name in ("ada", "bruno", "carla")
    ]
    assert ada
    assert bruno
    assert {ada.text, bruno.text} == {"uno", "due"}
    assert carla is None
    again = await next_item(connection, "ada", now=NOW)
    assert again
    assert again.id == ada.id  # still hers


async def test_twenty_at_once_never_get_the_same_text(pool: Pool) -> None:
    async with transaction(pool) as connection:
        await with_settings(connection)
        await answered(connection, [an_answer(f"testo {n}", 0.4) for n in range(15)])
        await queue(connection)

    async def ask(name: str) -> int | None:
        async with transaction(pool) as connection:
            item = await next_item(connection, name, now=NOW)
            return item.id if item else None

    given = await asyncio.gather(*(ask(f"annotator-{n}") for n in range(20)))
    ids = [item for item in given if item is not None]
    assert len(ids) == 15
    assert len(set(ids)) == 15


async def test_a_text_that_needs_a_second_opinion_goes_to_two_at_once_but_not_to_three(
    connection: Connection,
) -> None:
    await with_settings(connection, opinions=2)
    await answered(connection, [an_answer("boh", 0.4)])
    given = [await next_item(connection, name, now=NOW) for name in ("ada", "bruno", "carla")]
    assert [item.text if item else None for item in given] == ["boh", "boh", None]


async def test_after_the_time_limit_a_text_goes_to_another_and_both_answers_are_kept(
    connection: Connection,
) -> None:
    await with_settings(connection)
    await answered(connection, [an_answer("boh", 0.4)])
    item = await next_item(connection, "ada", now=NOW)
    assert item
    later = NOW + timedelta(minutes=16)
    other = await next_item(connection, "bruno", now=later)
    assert other
    assert other.id == item.id
    first = await give_label(connection, item.id, "bruno", "neutral", now=later)
    second = await give_label(connection, item.id, "ada", "neutral", now=later)
    assert (first.noted, second.noted) == (Noted.KEPT, Noted.LATE_SAME)
    assert second.item.state is State.DONE
    third = await give_label(connection, item.id, "carla", "negative", now=later)
    assert third.noted is Noted.LATE_CONFLICT
    assert third.item.state is State.CONTESTED
    assert len(await Labelling(connection).votes(item.id)) == 3


async def test_two_submits_at_the_same_moment_are_both_kept_and_one_is_told(pool: Pool) -> None:
    async with transaction(pool) as connection:
        await with_settings(connection)
        await answered(connection, [an_answer("boh", 0.4)])
        (item,) = await queue(connection)

    async def say(name: str, label: str) -> Noted:
        async with transaction(pool) as connection:
            return (await give_label(connection, item.id, name, label, now=NOW)).noted

    said = await asyncio.gather(say("ada", "positive"), say("bruno", "negative"))
    assert sorted(said) == sorted([Noted.KEPT, Noted.LATE_CONFLICT])
    async with transaction(pool) as connection:
        assert len(await Labelling(connection).votes(item.id)) == 2
        assert (await Labelling(connection).item(item.id)).state is State.CONTESTED


async def test_a_second_opinion_agrees_or_goes_to_adjudication(connection: Connection) -> None:
    await with_settings(connection, opinions=2)
    await answered(connection, [an_answer("uno", 0.4), an_answer("due", 0.4)])
    items = {item.text: item.id for item in await queue(connection)}
    for name, label in (("ada", "positive"), ("bruno", "positive")):
        agreed = await give_label(connection, items["uno"], name, label, now=NOW)
    for name, label in (("ada", "positive"), ("bruno", "negative")):
        torn = await give_label(connection, items["due"], name, label, now=NOW)
    assert (agreed.noted, agreed.item.state, agreed.item.label) == (
        Noted.KEPT,
        State.DONE,
        "positive",
    )
    assert (torn.noted, torn.item.state, torn.item.label) == (
        Noted.CONFLICT,
        State.CONTESTED,
        None,
    )


async def test_the_same_answer_twice_is_one_and_another_one_is_asked_about(
    connection: Connection,
) -> None:
    await with_settings(connection)
    await answered(connection, [an_answer("boh", 0.4)])
    (item,) = await queue(connection)
    await give_label(connection, item.id, "ada", "positive", now=NOW)
    again = await give_label(connection, item.id, "ada", "positive", now=NOW)
    assert again.noted is Noted.SAME_AGAIN
    with pytest.raises(SaidOtherwise, match="positive already"):
        await give_label(connection, item.id, "ada", "negative", now=NOW)
    changed = await give_label(connection, item.id, "ada", "negative", now=NOW, change=True)
    assert (changed.item.state, changed.item.label) == (State.DONE, "negative")


async def test_a_label_that_is_none_is_refused_and_a_gone_text_too(connection: Connection) -> None:
    await answered(connection, [an_answer("boh", 0.4, client="anna")])
    (item,) = await queue(connection)
    with pytest.raises(UnknownLabel, match="negative, neutral, positive"):
        await give_label(connection, item.id, "ada", "<script>", now=NOW)
    await Predictions(connection).erase_client("anna")
    with pytest.raises(TextGone):
        await give_label(connection, item.id, "ada", "positive", now=NOW)
    assert await next_item(connection, "ada", now=NOW) is None
    kept = await Labelling(connection).item(item.id)
    assert (kept.text, kept.state) == (None, State.EXPIRED)


async def test_a_skipped_text_goes_to_others_and_after_two_skips_to_adjudication(
    connection: Connection,
) -> None:
    await with_settings(connection)
    await answered(connection, [an_answer("boh", 0.4)])
    item = await next_item(connection, "ada", now=NOW)
    assert item
    await skip(connection, item.id, "ada", now=NOW)
    assert await next_item(connection, "ada", now=NOW) is None
    other = await next_item(connection, "bruno", now=NOW)
    assert other
    assert (await skip(connection, other.id, "bruno", now=NOW)).state is State.CONTESTED
    dropped = await decide(connection, item.id, "carla", None, admin=False, now=NOW)
    assert (dropped.state, dropped.decided_by) == (State.DROPPED, "carla")


async def test_undo_gives_the_text_back_and_once_more_the_one_before(
    connection: Connection,
) -> None:
    await with_settings(connection)
    await answered(connection, [an_answer("uno", 0.4), an_answer("due", 0.5)])
    with pytest.raises(NothingToUndo):
        await undo(connection, "ada", now=NOW)
    seen = []
    for minute in (1, 2):
        item = await next_item(connection, "ada", now=NOW)
        assert item
        seen.append(item.id)
        await give_label(
            connection, item.id, "ada", "positive", now=NOW + timedelta(minutes=minute)
        )
    first = await undo(connection, "ada", now=NOW + timedelta(minutes=3))
    assert (first.id, first.state, first.opinions) == (seen[1], State.OPEN, 0)
    assert (await next_item(connection, "ada", now=NOW + timedelta(minutes=3))) == first
    second = await undo(connection, "ada", now=NOW + timedelta(minutes=4))
    assert second.id == seen[0]
    actions = [line.action for line in await Audit(connection).newest()]
    assert actions == ["labelling.undone"] * 2 + ["labelling.labelled"] * 2


async def test_undo_takes_back_a_skip_and_reopens_what_was_agreed(connection: Connection) -> None:
    await with_settings(connection, opinions=2)
    await answered(connection, [an_answer("boh", 0.4)])
    (item,) = await queue(connection)
    await give_label(connection, item.id, "ada", "positive", now=NOW)
    await give_label(connection, item.id, "bruno", "positive", now=NOW)
    reopened = await undo(connection, "bruno", now=NOW)
    assert (reopened.state, reopened.label, reopened.opinions) == (State.OPEN, None, 1)
    await skip(connection, item.id, "bruno", now=NOW)
    assert (await undo(connection, "bruno", now=NOW)).state is State.OPEN


async def test_what_somebody_decided_cannot_be_undone_from_below(connection: Connection) -> None:
    await with_settings(connection, opinions=2)
    await answered(connection, [an_answer("boh", 0.4)])
    (item,) = await queue(connection)
    for name, label in (("ada", "positive"), ("bruno", "negative")):
        await give_label(connection, item.id, name, label, now=NOW)
    with pytest.raises(NotYours):
        await decide(connection, item.id, "ada", "positive", admin=False, now=NOW)
    decided = await decide(connection, item.id, "carla", "neutral", admin=False, now=NOW)
    assert (decided.state, decided.label, decided.decided_by) == (State.DONE, "neutral", "carla")
    with pytest.raises(DecidedMeanwhile, match="carla"):
        await undo(connection, "ada", now=NOW)
    with pytest.raises(DecidedMeanwhile, match="carla decided neutral"):
        await decide(
            connection, item.id, "dora", "negative", admin=True, now=NOW, seen=State.CONTESTED
        )
    late = await give_label(connection, item.id, "elio", "negative", now=NOW)
    assert (late.noted, late.item.label) == (Noted.LATE_DECIDED, "neutral")
    again = await decide(connection, item.id, "dora", "negative", admin=True, now=NOW)
    assert again.label == "negative"


async def test_gold_is_mixed_in_blind_and_measures_the_annotator(connection: Connection) -> None:
    await with_settings(connection, gold_share=0.5)
    gold = await write_gold(
        connection, "  Perfetto!\x00 ", "positive", "ada", detect_language=in_italian, now=NOW
    )
    assert (gold.text, gold.gold_label, gold.state, gold.language) == (
        "Perfetto!",
        "positive",
        State.DONE,
        "it",
    )
    await answered(connection, [an_answer(f"testo {n}", 0.4) for n in range(30)])
    met = False
    for minute in range(20):
        moment = NOW + timedelta(minutes=minute + 1)
        item = await next_item(connection, "bruno", now=moment)
        assert item
        met = met or item.id == gold.id
        noted = await give_label(connection, item.id, "bruno", "neutral", now=moment)
        assert noted.noted is Noted.KEPT  # gold does not give itself away
    assert met
    assert (await Labelling(connection).item(gold.id)).label == "positive"
    (bruno,) = await LabellingFigures(connection).annotators()
    assert (bruno.annotator, bruno.gold, bruno.gold_right, bruno.labels) == ("bruno", 1, 0, 20)


async def test_answers_given_before_a_text_became_gold_prove_nothing(
    connection: Connection,
) -> None:
    await with_settings(connection)
    await answered(connection, [an_answer("boh", 0.4)])
    (item,) = await queue(connection)
    await give_label(connection, item.id, "ada", "positive", now=NOW)
    marked = await mark_gold(
        connection, item.id, "negative", "carla", now=NOW + timedelta(minutes=1)
    )
    assert (marked.label, marked.gold_label, marked.decided_by) == ("negative", "negative", "carla")
    (ada,) = await LabellingFigures(connection).annotators()
    assert (ada.gold, ada.gold_right) == (0, 0)
    again = await decide(connection, item.id, "carla", "neutral", admin=True, now=NOW)
    assert (again.label, again.gold_label) == ("neutral", None)
    await mark_gold(connection, item.id, "neutral", "carla", now=NOW)
    assert (await unmark_gold(connection, item.id, "carla")).gold_label is None


async def test_a_text_written_twice_is_one_item(connection: Connection) -> None:
    first = await write_gold(
        connection, "Bene", "positive", "ada", detect_language=in_italian, now=NOW
    )
    second = await write_gold(
        connection, "Bene ", "neutral", "ada", detect_language=in_italian, now=NOW
    )
    assert (second.id, second.gold_label) == (first.id, "neutral")
    for text in ("", " \x00 ", "x" * 10_001):
        with pytest.raises(InvalidInput):
            await write_gold(
                connection, text, "neutral", "ada", detect_language=in_italian, now=NOW
            )


async def test_asking_for_fewer_opinions_finishes_what_has_them(connection: Connection) -> None:
    await with_settings(connection, opinions=3)
    await answered(connection, [an_answer("boh", 0.4)])
    (item,) = await queue(connection)
    await give_label(connection, item.id, "ada", "positive", now=NOW)
    assert await change_settings(connection, ONLY_VALUE, "carla", now=NOW) == 1
    done = await Labelling(connection).item(item.id)
    assert (done.state, done.label) == (State.DONE, "positive")
    assert await change_settings(connection, ONLY_VALUE, "carla", now=NOW) == 0
    assert len(await Audit(connection).newest(subject="labelling")) == 1


async def test_figures_say_how_far_it_is_and_how_people_agree(connection: Connection) -> None:
    await with_settings(connection, opinions=2)
    await answered(connection, [an_answer(BY_CHANCE), an_answer("due", 0.4), an_answer("tre", 0.4)])
    items = {item.text: item.id for item in await queue(connection)}
    for text, name, label in (
        (BY_CHANCE, "ada", "positive"),
        (BY_CHANCE, "bruno", "positive"),
        ("due", "ada", "positive"),
        ("due", "bruno", "negative"),
        ("tre", "ada", "neutral"),
    ):
        await give_label(connection, items[text], name, label, now=NOW)
    figures = LabellingFigures(connection)
    progress = await figures.progress(today=NOW - timedelta(hours=1))
    assert (progress.open, progress.begun, progress.contested, progress.done) == (1, 1, 1, 1)
    assert (progress.labels, progress.labels_today) == (5, 5)
    assert progress.reasons == {"uncertain": 1}
    assert sorted(await figures.units()) == [
        (["negative", "positive"], 1),
        (["positive", "positive"], 1),
    ]
    (pair,) = await figures.pairs()
    assert (pair.first, pair.second, pair.texts, pair.same) == ("ada", "bruno", 2, 1)
    (drawn,) = await figures.drawn()
    assert (drawn.model_version, drawn.texts, drawn.right) == ("sentiment-v1", 1, 1)


async def test_retention_takes_undecided_texts_and_leaves_labelled_ones(
    connection: Connection,
) -> None:
    await with_settings(connection)
    await answered(connection, [an_answer("uno", 0.4), an_answer("due", 0.4)])
    items = {item.text: item.id for item in await queue(connection)}
    await give_label(connection, items["uno"], "ada", "positive", now=NOW)
    await Predictions(connection).drop_before(NOW + timedelta(days=62))
    kept = await Labelling(connection).item(items["uno"])
    gone = await Labelling(connection).item(items["due"])
    assert (kept.text, gone.text, gone.state) == ("uno", None, State.EXPIRED)


async def test_a_labelled_text_is_in_the_next_version_with_its_annotator(
    pool: Pool, tmp_path: Path
) -> None:
    request = BuildRequest(store_uri=(tmp_path / "store").as_uri(), actor="ada")
    path = tmp_path / "upload"
    rows = "".join(f"{one.text},{one.label}\n" for one in some_candidates(100))
    path.write_text(f"text,label\n{rows}")
    await build_from_file(pool, read_file(path, "x.csv"), request, detect_language=in_italian)
    async with transaction(pool) as connection:
        await with_settings(connection)
        asked = an_answer("una cosa mai vista", 0.4)
        await answered(connection, [asked, an_answer("un'altra, ancora aperta", 0.4)])
        item = next(one for one in await queue(connection) if one.text == asked.text)
        await give_label(connection, item.id, "bruno", "negative", now=NOW)
        # A stranger's vote on the same text does not outweigh the annotator.
        await Feedback(connection).upsert_many([a_vote(asked, "positive")])
    built = await build_from_feedback(pool, request, detect_language=in_italian)
    async with transaction(pool) as connection:
        members = {row.text: row for row in await Datasets(connection).members(built.version.name)}
    row = members["una cosa mai vista"]
    assert (row.label, row.source, row.annotator) == ("negative", "labelling", "bruno")
    assert row.prediction_id == asked.id
    assert "un'altra, ancora aperta" not in members
