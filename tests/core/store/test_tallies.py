"""Counts of ten minutes: equal to a direct count whatever was written, in whatever order, by however many at once."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentops_core.domain.tallies import BUCKET, AnswerTally, VoteTally
from sentops_core.store.feedback import Feedback
from sentops_core.store.feedback_inbox import FeedbackInbox, Review
from sentops_core.store.migrate import known_migrations, migrate
from sentops_core.store.pool import Connection, Pool, open_connection, transaction
from sentops_core.store.predictions import PredictionRow, Predictions
from sentops_core.store.tallies import Kind, Tallies, runs
from sentops_core.store.tally_counting import TEXTS_PER_BUCKET, TallyKey
from tests.support.rows import NOW, a_prediction, a_vote, a_withdrawal
from tests.support.tallying import Vote, answer_tally, vote_tally

pytestmark = pytest.mark.pg

LONG_AGO = NOW - timedelta(days=40)
FAR = NOW + timedelta(days=40)


async def count(connection: Connection, **vocabularies: frozenset[int]) -> int:
    """Until nothing is due any more; how many pieces were counted."""
    tallies, counted = Tallies(connection), 0
    while due := await tallies.due(1000):
        await tallies.recount(due, vocabularies)
        counted += len(due)
        if counted > 10_000:
            raise AssertionError("it does not become less")
    return counted


async def counted(
    connection: Connection,
) -> tuple[dict[TallyKey, AnswerTally], dict[TallyKey, VoteTally]]:
    tallies = Tallies(connection)
    answers = {key: tally async for key, tally in tallies.answers(LONG_AGO, FAR)}
    votes = {key: tally async for key, tally in tallies.votes(LONG_AGO, FAR)}
    return answers, votes


async def counted_directly(
    connection: Connection,
) -> tuple[dict[TallyKey, AnswerTally], dict[TallyKey, VoteTally]]:
    """Row by row, and the rule of which votes count once more, in Python."""
    rows = [
        PredictionRow(**row)
        for row in await connection.fetch("SELECT * FROM predictions WHERE NOT shadow")
    ]
    by_id = {row.id: row for row in rows}
    groups: defaultdict[TallyKey, list[PredictionRow]] = defaultdict(list)
    for row in rows:
        groups[key_of(row)].append(row)
    out = {
        tuple(row) for row in await connection.fetch("SELECT kind, name FROM quarantined_sources")
    }
    votes: defaultdict[TallyKey, list[Vote]] = defaultdict(list)
    for vote in await connection.fetch("SELECT * FROM feedback"):
        row = by_id.get(vote["prediction_id"])
        meant = vote["corrected_label"] if vote["status"] == "refused" else vote["label"]
        if (
            row
            and meant
            and ("client", vote["client"]) not in out
            and ("source", vote["source"]) not in out
        ):
            votes[key_of(row)].append(Vote(meant, row.label, row.score))
    return (
        {key: answer_tally(some) for key, some in groups.items()},
        {key: vote_tally(some) for key, some in votes.items()},
    )


def key_of(row: PredictionRow) -> TallyKey:
    at = row.created_at
    bucket = at.replace(minute=at.minute // 10 * 10, second=0, microsecond=0)
    return bucket, row.model_version, row.language or "unknown"


# What people and staff do, in any order, with counting in between.

_ROWS = [
    a_prediction(
        NOW - timedelta(minutes=7 * number),
        text=["Good.", "Very bad, I'd say.", None][number % 3],
        client=f"client-{number % 2}",
        label=["positive", "negative"][number % 2],
        score=[0.5, 0.72, 0.999, 1.0][number % 4],
        model_version=["v1", "v2"][number % 2],
        language=["it", None][number // 2 % 2],
        shadow=number == 3,
    )
    for number in range(6)
]
_VOTERS = ("client-0", "client-1")
_DEEDS = st.one_of(
    st.tuples(
        st.just("vote"),
        st.builds(
            lambda row, label, client, after: a_vote(
                row, label, after=after, client=client, source="web"
            ),
            st.sampled_from(_ROWS),
            st.sampled_from(["positive", "negative"]),
            st.sampled_from(_VOTERS),
            st.integers(2, 9),
        ),
    ),
    st.tuples(
        st.just("withdraw"),
        st.builds(
            lambda row, client: a_withdrawal(row, after=20, client=client),
            st.sampled_from(_ROWS),
            st.sampled_from(_VOTERS),
        ),
    ),
    st.tuples(st.just("review"), st.tuples(st.sampled_from([*Review]), st.integers(0, 11))),
    st.tuples(st.just("quarantine"), st.sampled_from([("client", "client-0"), ("source", "web")])),
    st.tuples(st.just("release"), st.none()),
    st.tuples(st.just("erase"), st.sampled_from(_VOTERS)),
    st.tuples(st.just("answer"), st.just(_ROWS[-1])),
)
_BEFORE = [a_vote(row, "negative", after=1, client=client) for row in _ROWS for client in _VOTERS]


@pytest.fixture(scope="module")
def runner() -> object:
    with asyncio.Runner() as opened:
        yield opened


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(deeds=st.lists(st.tuples(_DEEDS, st.booleans()), min_size=1, max_size=12))
def test_whatever_is_done_the_counts_are_those_of_a_direct_count(
    shared_database_url: str, runner: asyncio.Runner, deeds: list[tuple[tuple[str, object], bool]]
) -> None:
    """Votes replaced, withdrawn, refused, set right, put in quarantine and released; texts erased; late answers."""
    runner.run(_replay(shared_database_url, deeds))


async def _replay(url: str, deeds: list[tuple[tuple[str, object], bool]]) -> None:
    connection = await open_connection(url)
    undone = connection.transaction()
    await undone.start()
    try:
        await Predictions(connection).copy_in(_ROWS[:-1])
        await Feedback(connection).record(_BEFORE)
        await count(connection)
        for (deed, what), counts in deeds:
            await _do(connection, deed, what)
            if counts:
                await count(connection)
        await count(connection)
        answers, votes = await counted(connection)
        expected_answers, expected_votes = await counted_directly(connection)
        assert votes == expected_votes
        # An erased text stays in the counts until something else of those ten minutes changes.
        assert {key: one.labels for key, one in answers.items()} == {
            key: one.labels for key, one in expected_answers.items()
        }
        await connection.execute(
            "INSERT INTO tallies_due (kind, bucket) SELECT DISTINCT 'answers', bucket FROM answer_tallies"
        )
        await count(connection)
        assert (await counted(connection))[0] == expected_answers
    finally:
        await undone.rollback()
        await connection.close()


async def _do(connection: Connection, deed: str, what: object) -> None:
    match deed:
        case "answer":
            await Predictions(connection).copy_in([what])
        case "vote":
            await Feedback(connection).record([what])
        case "withdraw":
            await Feedback(connection).record([], [what])
        case "review":
            review, place = what
            corrected = "positive" if review is Review.CORRECTED else None
            await connection.execute(
                """
                UPDATE feedback SET status = $2, corrected_label = $3
                 WHERE vote_id = (SELECT vote_id FROM feedback ORDER BY vote_id OFFSET $1 LIMIT 1)
                """,
                place,
                "refused" if corrected else str(review),
                corrected,
            )
        case "quarantine":
            await connection.execute(
                "INSERT INTO quarantined_sources (kind, name, quarantined_by) VALUES ($1, $2, 'staff')"
                " ON CONFLICT DO NOTHING",
                *what,
            )
        case "release":
            await connection.execute("DELETE FROM quarantined_sources")
        case "erase":
            await Predictions(connection).erase_client(what)


async def test_staff_who_set_a_vote_right_have_it_counted_anew(connection: Connection) -> None:
    row = a_prediction(label="positive")
    vote = a_vote(row, "negative")
    await Predictions(connection).copy_in([row])
    await Feedback(connection).record([vote])
    await count(connection)
    await FeedbackInbox(connection).review(
        [vote.vote_id], Review.CORRECTED, label="positive", by="anna", at=NOW
    )
    assert {one.kind for one in await Tallies(connection).due(10)} == {Kind.VOTES}
    await count(connection)
    _, votes = await counted(connection)
    assert [one.confusion for one in votes.values()] == [{"positive": {"positive": 1}}]


async def test_answers_that_a_spool_held_for_hours_are_counted_where_they_belong(
    connection: Connection,
) -> None:
    await Predictions(connection).copy_in([a_prediction(NOW)])
    await count(connection)
    late = a_prediction(NOW - timedelta(hours=5))
    await Predictions(connection).copy_in([late])
    due = await Tallies(connection).due(10)
    assert [one.bucket for one in due] == [key_of(late)[0]]
    await count(connection)
    answers, _ = await counted(connection)
    assert sorted(key[0] for key in answers) == [key_of(late)[0], NOW]


async def test_a_vote_that_comes_before_its_answer_counts_once_that_is_there(
    connection: Connection,
) -> None:
    """Two replicas of web have a spool each, and that of the answer may be the slower one."""
    early, late = a_prediction(), a_prediction()
    await Predictions(connection).copy_in([early])
    await Feedback(connection).record([a_vote(late)])
    await count(connection)
    await Predictions(connection).copy_in([late])
    await count(connection)
    assert await counted(connection) == await counted_directly(connection)
    _, votes = await counted(connection)
    assert [tally.votes for tally in votes.values()] == [1]


async def test_answers_that_are_there_already_make_nothing_due(connection: Connection) -> None:
    """A spool that is played again changes nothing, so nothing has to be counted."""
    row = a_prediction()
    await Predictions(connection).copy_in([row])
    await count(connection)
    await Predictions(connection).copy_in([row])
    assert await Tallies(connection).due(10) == []


async def test_the_newest_ten_minutes_come_first(connection: Connection) -> None:
    rows = [a_prediction(NOW - timedelta(hours=hours)) for hours in (3, 0, 30)]
    await Predictions(connection).copy_in(rows)
    tallies = Tallies(connection)
    assert [one.bucket for one in await tallies.due(2)] == [NOW, NOW - timedelta(hours=3)]
    assert await tallies.waiting() == 3
    await tallies.leave_uncounted(NOW - timedelta(hours=1))
    assert await tallies.waiting() == 1


async def test_words_are_counted_in_so_many_texts_and_always_in_the_same(
    connection: Connection,
) -> None:
    rows = [a_prediction(text=f"word{number} good") for number in range(TEXTS_PER_BUCKET + 50)]
    await Predictions(connection).copy_in(rows)
    await count(connection)
    (first,), _ = [[*one.values()] for one in await counted(connection)]
    await connection.execute("INSERT INTO tallies_due (kind, bucket) VALUES ('answers', $1)", NOW)
    await count(connection)
    (second,), _ = [[*one.values()] for one in await counted(connection)]
    assert first == second
    assert first.answers == sum(first.lengths) == TEXTS_PER_BUCKET + 50
    assert (first.sampled, first.words) == (TEXTS_PER_BUCKET, 2 * TEXTS_PER_BUCKET)


async def test_a_version_whose_words_become_known_is_counted_again(connection: Connection) -> None:
    rows = [a_prediction(text="good thing", model_version=version) for version in ("v1", "v2")]
    await Predictions(connection).copy_in(rows)
    await count(connection)
    answers, _ = await counted(connection)
    assert {one.unseen_words for one in answers.values()} == {None}
    tallies = Tallies(connection)
    for _ in range(2):
        await tallies.count_words_again(["v2"], NOW - timedelta(days=1))
        await count(connection, v2=frozenset())
    assert await tallies.due(10) == []
    answers, _ = await counted(connection)
    assert {key[1]: one.unseen_words for key, one in answers.items()} == {"v1": None, "v2": 2}
    await tallies.count_words_again(["v2"], NOW - timedelta(days=1))
    assert await tallies.due(10) == []  # they are known


async def test_counts_go_with_the_month_that_is_dropped(connection: Connection) -> None:
    rows = [a_prediction(NOW - timedelta(days=25)), a_prediction(NOW)]
    await Predictions(connection).copy_in(rows)
    await Feedback(connection).record([a_vote(row) for row in rows])
    await count(connection)
    assert await Predictions(connection).drop_before(datetime(2026, 11, 1, tzinfo=NOW.tzinfo))
    await count(connection)
    answers, votes = await counted(connection)
    assert {key[0] for key in answers} == {key[0] for key in votes} == {NOW}


async def test_an_upgrade_has_all_of_the_last_four_weeks_counted(empty_database_url: str) -> None:
    """Answers and votes of before there were triggers; older ones lie in no window."""
    connection = await open_connection(empty_database_url)
    known = known_migrations()
    await migrate(connection, [one for one in known if one.version < 8])
    now = datetime.now(UTC)
    rows = [a_prediction(now - timedelta(days=days)) for days in (0, 3, 27, 60)]
    await connection.execute(
        "ALTER TABLE predictions ADD COLUMN path text"
    )  # which rows have by now
    async with connection.transaction():
        await Predictions(connection).copy_in(rows)
        await Feedback(connection).record([a_vote(rows[1])])
    await connection.execute("ALTER TABLE predictions DROP COLUMN path")
    await migrate(connection, known)
    async with connection.transaction():
        await count(connection)
        tallies = Tallies(connection)
        answers = [key async for key, _ in tallies.answers(now - timedelta(days=90), now)]
        votes = [key async for key, _ in tallies.votes(now - timedelta(days=90), now)]
    assert answers == [key_of(row) for row in (rows[2], rows[1], rows[0])]
    assert votes == [key_of(rows[1])]
    await connection.close()


def test_neighbours_are_counted_as_one_stretch() -> None:
    first, second, third = NOW, NOW + BUCKET, NOW + 5 * BUCKET
    assert runs([third, first, second, first]) == [
        (first, NOW + 2 * BUCKET),
        (third, third + BUCKET),
    ]
    assert runs([]) == []


# Several at once.


async def write(pool: Pool, rows: Sequence[PredictionRow]) -> None:
    async with transaction(pool) as connection:
        await Predictions(connection).copy_in(rows)
        await Feedback(connection).record([a_vote(row, "negative", after=1) for row in rows[::2]])


@asynccontextmanager
async def begun(pool: Pool) -> AsyncIterator[Connection]:
    async with transaction(pool) as connection:
        yield connection


async def settle(pool: Pool) -> None:
    async with transaction(pool) as connection:
        await count(connection)


async def labels_of(pool: Pool) -> tuple[int, int]:
    """Answers and votes that are counted."""
    async with transaction(pool) as connection:
        answers, votes = await counted(connection)
    return sum(one.answers for one in answers.values()), sum(one.votes for one in votes.values())


async def test_what_is_written_between_reading_and_settling_stays_due(pool: Pool) -> None:
    await write(pool, [a_prediction() for _ in range(4)])
    async with begun(pool) as connection:
        tallies = Tallies(connection)
        due = await tallies.due(10)
        await write(pool, [a_prediction() for _ in range(2)])
        await tallies.recount(due, {})
        assert {one.bucket for one in await tallies.due(10)} == {NOW}
    await settle(pool)
    assert await labels_of(pool) == (6, 3)


async def test_what_somebody_is_still_writing_is_not_waited_for_and_not_lost(pool: Pool) -> None:
    await write(pool, [a_prediction() for _ in range(4)])
    async with begun(pool) as writer:
        await Predictions(writer).copy_in([a_prediction()])
        async with begun(pool) as connection, asyncio.timeout(10):
            tallies = Tallies(connection)
            await tallies.recount(await tallies.due(10), {})
        assert (await labels_of(pool))[0] == 4
    async with begun(pool) as connection:
        assert [one.kind for one in await Tallies(connection).due(10)] == [Kind.ANSWERS]
    await settle(pool)
    assert await labels_of(pool) == (5, 2)


async def test_a_first_answer_of_ten_minutes_that_is_being_written_is_not_lost(pool: Pool) -> None:
    """Nothing is due yet, so there is nothing that the monitor could see or wait for."""
    async with begun(pool) as writer:
        await Predictions(writer).copy_in([a_prediction()])
        await settle(pool)
    await settle(pool)
    assert await labels_of(pool) == (1, 0)


async def test_many_writers_and_a_monitor_among_them_lose_nothing(pool: Pool) -> None:
    async def write_often(number: int) -> None:
        for minute in range(12):
            at = NOW - timedelta(minutes=(minute * 7 + number) % 25)
            await write(pool, [a_prediction(at, client=f"client-{number}") for _ in range(4)])

    writing = asyncio.gather(*(write_often(number) for number in range(3)))
    while not writing.done():
        await settle_some(pool)
    await writing
    await settle(pool)
    assert await labels_of(pool) == (3 * 12 * 4, 3 * 12 * 2)
    async with begun(pool) as connection:
        assert await counted(connection) == await counted_directly(connection)


async def settle_some(pool: Pool) -> None:
    async with transaction(pool) as connection:
        tallies = Tallies(connection)
        await tallies.recount(await tallies.due(2), {})


async def test_monitors_take_turns_and_know_when_another_was_before_them(pool: Pool) -> None:
    mine, yours = uuid4(), uuid4()

    async def keep(keeper: object) -> bool:
        async with begun(pool) as connection:
            return await Tallies(connection).keep(keeper)

    assert await keep(mine)
    assert not await keep(mine)
    async with begun(pool) as first:
        assert not await Tallies(first).keep(mine)
        waiting = asyncio.create_task(keep(yours))
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done
    assert await waiting
    assert await keep(mine)
