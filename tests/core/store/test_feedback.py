"""Votes: the last one of a client stands, whatever the order and number of arrivals."""

import asyncio
from datetime import timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentops_core.store.feedback import Feedback, FeedbackRow, VersionVotes, Withdrawal
from sentops_core.store.pool import Connection, Pool, open_connection, transaction
from sentops_core.store.predictions import Predictions
from tests.support.rows import NOW, a_prediction, a_vote, a_withdrawal

pytestmark = pytest.mark.pg

_PREDICTIONS = [a_prediction(), a_prediction()]
_VOTES = [
    a_vote(prediction, label, after=seconds, client=client, note=f"{label} {seconds}")
    for prediction in _PREDICTIONS
    for client in ("a", "b")
    for seconds, label in ((1, "negative"), (2, "positive"), (3, "neutral"))
]
_WITHDRAWALS = [
    a_withdrawal(prediction, after=seconds, client="a")
    for prediction in _PREDICTIONS
    for seconds in (1.5, 2.5)
]


@pytest.fixture(scope="module")
def runner() -> object:
    with asyncio.Runner() as opened:
        yield opened


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    arrivals=st.lists(st.sampled_from(_VOTES + _WITHDRAWALS), min_size=1, max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=5),
)
def test_any_order_repetition_and_batching_of_votes_and_withdrawals_ends_the_same(
    shared_database_url: str,
    runner: asyncio.Runner,
    arrivals: list[FeedbackRow | Withdrawal],
    cuts: list[int],
) -> None:
    runner.run(_replay(shared_database_url, arrivals, sorted(cuts)))


async def _replay(url: str, arrivals: list[FeedbackRow | Withdrawal], cuts: list[int]) -> None:
    connection = await open_connection(url)
    transaction = connection.transaction()
    await transaction.start()
    feedback = Feedback(connection)
    edges = [0, *cuts, len(arrivals)]
    for start, end in pairwise(edges):
        some = arrivals[start:end]
        await feedback.record(
            [one for one in some if isinstance(one, FeedbackRow)],
            [one for one in some if isinstance(one, Withdrawal)],
        )
    expected: dict[tuple[object, str], FeedbackRow] = {}
    for word in sorted(arrivals, key=_identity):
        if isinstance(word, FeedbackRow):
            expected[word.prediction_id, word.client] = word
        else:
            expected.pop((word.prediction_id, word.client), None)
    stored = [vote for one in _PREDICTIONS for vote in await feedback.of_prediction(one.id)]
    await transaction.rollback()
    await connection.close()
    assert {(vote.prediction_id, vote.client): vote for vote in stored} == expected


def _identity(word: FeedbackRow | Withdrawal) -> UUID:
    return word.vote_id if isinstance(word, FeedbackRow) else word.withdrawal_id


async def test_a_withdrawn_vote_counts_nowhere_and_a_new_one_counts_again(
    connection: Connection,
) -> None:
    prediction, feedback = a_prediction(), Feedback(connection)
    await Predictions(connection).copy_in([prediction])
    await feedback.record([a_vote(prediction, after=1, note="mine")])
    await feedback.record([], [a_withdrawal(prediction, after=2)])
    assert await feedback.of_prediction(prediction.id) == []
    assert await feedback.count_since(NOW - timedelta(days=1)) == 0
    again = a_vote(prediction, "neutral", after=3)
    await feedback.record([again])
    assert await feedback.of_prediction(prediction.id) == [again]


async def test_a_vote_does_not_slip_past_a_withdrawal_that_is_being_written(pool: Pool) -> None:
    """Each waits for the other, so one of them sees what the other did."""
    prediction = a_prediction()
    vote, taken = a_vote(prediction, after=1), a_withdrawal(prediction, after=2)
    async with transaction(pool) as connection:
        await Feedback(connection).record([], [taken])

        async def vote_elsewhere() -> None:
            async with transaction(pool) as other:
                await Feedback(other).record([vote])

        voting = asyncio.create_task(vote_elsewhere())
        _, waiting = await asyncio.wait([voting], timeout=0.3)
        assert waiting
    await voting
    async with transaction(pool) as connection:
        assert await Feedback(connection).of_prediction(prediction.id) == []


async def test_withdrawals_are_forgotten_with_their_client_and_with_their_month(
    connection: Connection,
) -> None:
    old, new = a_prediction(NOW - timedelta(days=100)), a_prediction()
    other = a_prediction(client="client-b")
    await Predictions(connection).copy_in([old, new, other])
    await Feedback(connection).record([], [a_withdrawal(one) for one in (old, new, other)])
    await Predictions(connection).drop_before(NOW - timedelta(days=40))
    assert await _remembered(connection) == {new.id, other.id}
    await Predictions(connection).erase_client("client-b")
    assert await _remembered(connection) == {new.id}


async def _remembered(connection: Connection) -> set[UUID]:
    rows = await connection.fetch("SELECT prediction_id FROM withdrawn_votes")
    return {row[0] for row in rows}


async def test_a_repeated_vote_changes_nothing(connection: Connection) -> None:
    feedback, vote = Feedback(connection), a_vote(a_prediction())
    assert await feedback.upsert_many([vote, vote]) == 1
    assert await feedback.upsert_many([vote]) == 0


async def test_a_new_vote_is_judged_anew(connection: Connection) -> None:
    feedback, prediction = Feedback(connection), a_prediction()
    await feedback.upsert_many([a_vote(prediction, after=1)])
    await connection.execute("UPDATE feedback SET status = 'refused'")
    await feedback.upsert_many([a_vote(prediction, after=2)])
    assert await connection.fetchval("SELECT status FROM feedback") == "new"


async def test_corrections_and_confirmations_come_with_their_text(connection: Connection) -> None:
    corrected, confirmed, silent = (a_prediction(text=text) for text in ("one", "two", "three"))
    refused, erased = a_prediction(text="four"), a_prediction(text=None)
    await Predictions(connection).copy_in([corrected, confirmed, silent, refused, erased])
    feedback = Feedback(connection)
    await feedback.upsert_many([a_vote(refused)])
    await connection.execute("UPDATE feedback SET status = 'refused'")
    await feedback.upsert_many(
        [
            a_vote(corrected, "negative", after=1, note="no!"),
            a_vote(confirmed, "positive", after=2),
            a_vote(erased, after=3),
        ]
    )
    found = [vote async for vote in feedback.for_dataset()]
    assert [(vote.text, vote.label, vote.predicted_label, vote.note) for vote in found] == [
        ("one", "negative", "positive", "no!"),
        ("two", "positive", "positive", None),
    ]
    later = [vote async for vote in feedback.for_dataset(since=found[0].voted_at)]
    assert [vote.text for vote in later] == ["two"]
    assert await feedback.count_since(found[0].voted_at) == 2


async def test_a_vote_that_arrives_before_its_prediction_is_kept(connection: Connection) -> None:
    feedback, prediction = Feedback(connection), a_prediction()
    await feedback.upsert_many([a_vote(prediction)])
    assert [vote async for vote in feedback.for_dataset()] == []
    await Predictions(connection).copy_in([prediction])
    assert [vote.text async for vote in feedback.for_dataset()] == [prediction.text]


async def test_votes_are_counted_per_version_for_predictions_in_the_window(
    connection: Connection,
) -> None:
    good = [a_prediction(model_version="v1") for _ in range(3)]
    bad = a_prediction(model_version="v1")
    second = a_prediction(model_version="v2")
    old = a_prediction(NOW - timedelta(days=3), model_version="v0")
    shadow = a_prediction(model_version="v9", shadow=True)
    await Predictions(connection).copy_in([*good, bad, second, old, shadow])
    feedback = Feedback(connection)
    await feedback.upsert_many(
        [
            *(a_vote(one, "positive") for one in good),
            a_vote(bad, "negative"),
            a_vote(second, "negative"),
            a_vote(old, "positive", after=3 * 86400),  # a late vote on an old prediction
            a_vote(shadow, "positive"),
        ]
    )
    assert await feedback.by_version(NOW - timedelta(days=1)) == [
        VersionVotes("v1", votes=4, right=3),
        VersionVotes("v2", votes=1, right=0),
    ]
    assert len(await feedback.by_version(NOW - timedelta(days=7))) == 3


async def test_a_client_sees_its_own_votes_only(connection: Connection) -> None:
    first, second = a_prediction(), a_prediction()
    mine, other = a_vote(first), a_vote(second, client="client-b")
    feedback = Feedback(connection)
    await feedback.upsert_many([mine, other])
    assert await feedback.of_client("client-a", [first.id, second.id]) == {first.id: mine}
