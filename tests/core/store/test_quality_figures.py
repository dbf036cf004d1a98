"""Stored figures: of each hour the last ones, by the day when they are old, and read only while they are news."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sentops_core.domain.estimation import VoteHalves
from sentops_core.domain.quality_figures import QualityFigures, figures_of
from sentops_core.domain.tallies import VoteTally
from sentops_core.store.champions import Champion, champions
from sentops_core.store.feedback import Feedback
from sentops_core.store.maintain import maintain
from sentops_core.store.pool import Connection
from sentops_core.store.predictions import Predictions
from sentops_core.store.quality_figures import QualityTable, SeenFigures
from sentops_core.store.tallies import Tallies
from sentops_core.store.vote_sources import largest_source_shares
from tests.support.rows import NOW, a_prediction, a_vote
from tests.support.tallying import Vote, answer_tally, vote_tally

pytestmark = pytest.mark.pg

HOUR = timedelta(hours=1)
VOTES = [
    Vote("positive", "positive", 0.9),
    Vote("negative", "positive", 0.6),
    Vote("neutral", "neutral", 0.8),
]


def some_figures(
    version: str = "v1", *, window: str = "24h", language: str = "all", votes: int = 3
) -> QualityFigures:
    return figures_of(
        version,
        window,
        language,
        answer_tally([a_prediction() for _ in range(10)]),
        vote_tally(VOTES[:votes]),
        evidence=VoteHalves(VoteTally(), VoteTally()),
        largest_source_share=0.5 if votes else None,
    )


async def test_figures_come_back_as_they_were(connection: Connection) -> None:
    table = QualityTable(connection)
    with_votes, without = some_figures(), some_figures("v2", votes=0)
    await table.save([with_votes, without], NOW)
    assert await table.latest(NOW - HOUR) == [
        SeenFigures(NOW, with_votes),
        SeenFigures(NOW, without),
    ]
    row = await connection.fetchrow("SELECT * FROM quality_figures WHERE model_version = 'v2'")
    unknown = ("accuracy", "macro_f1", "calibration_error", "estimated_accuracy")
    assert [row[name] for name in unknown] == [None] * 4
    assert row["largest_source_share"] is None
    assert (row["answers"], row["votes"], row["feedback_rate"]) == (10, 0, 0)


async def votes_by_hour(connection: Connection) -> list[int]:
    return [
        row[0] for row in await connection.fetch("SELECT votes FROM quality_figures ORDER BY hour")
    ]


async def test_of_each_hour_the_last_round_stays(connection: Connection) -> None:
    table = QualityTable(connection)
    for minutes, votes in ((0, 0), (30, 1), (59, 2), (60, 3)):
        await table.save([some_figures(votes=votes)], NOW + timedelta(minutes=minutes))
    assert await votes_by_hour(connection) == [2, 3]
    await table.save([some_figures(votes=1)], NOW + timedelta(minutes=5))  # a slow round of before
    assert await votes_by_hour(connection) == [2, 3]


async def test_what_the_newest_round_did_not_find_is_not_among_the_latest(
    connection: Connection,
) -> None:
    """A version that has left the window, in the same hour."""
    table = QualityTable(connection)
    await table.save([some_figures("v1"), some_figures("v2")], NOW)
    later = NOW + timedelta(minutes=10)
    await table.save([some_figures("v2")], later)
    latest = await table.latest(NOW)
    assert [(one.taken_at, one.figures.model_version) for one in latest] == [(later, "v2")]


async def test_old_figures_are_no_news(connection: Connection) -> None:
    table = QualityTable(connection)
    assert await table.latest(NOW) == []
    await table.save([some_figures()], NOW)
    assert await table.latest(NOW + timedelta(minutes=5)) == []
    assert len(await table.latest(NOW)) == 1


async def test_housekeeping_keeps_hours_then_days_then_nothing(connection: Connection) -> None:
    table, tallies = QualityTable(connection), Tallies(connection)
    now = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
    young, old, ancient = (now - timedelta(days=days) for days in (39, 43, 401))
    await Predictions(connection).copy_in([a_prediction(young), a_prediction(old)])
    while due := await tallies.due(100):
        await tallies.recount(due, {})
    for moment in (young, old, ancient):
        for hours in range(3):
            await table.save([some_figures()], moment - hours * HOUR)
    drift = """
        INSERT INTO drift_figures (model_version, time_window, feature, hour, taken_at, samples, reference_samples,
                                   distance, p_value, adjusted_p_value, drifted)
        SELECT 'v1', '24h', 'length', hour, hour, 1, 1, 0, 1, 1, false FROM quality_figures
    """
    await connection.execute(drift)
    await maintain(connection, now=now, limit=None)
    await maintain(connection, now=now, limit=None)
    for name in ("quality_figures", "drift_figures"):
        hours = [row[0] for row in await connection.fetch(f"SELECT hour FROM {name} ORDER BY hour")]
        whole = [moment.replace(minute=0) for moment in (old, young)]
        assert hours == [whole[0], whole[1] - 2 * HOUR, whole[1] - HOUR, whole[1]]
    buckets = await connection.fetch("SELECT bucket FROM answer_tallies")
    assert [row["bucket"] for row in buckets] == [young]


async def test_the_largest_source_is_that_of_votes_which_count(connection: Connection) -> None:
    rows = [a_prediction(NOW - timedelta(days=days)) for days in (0, 0, 0, 3, 3)]
    await Predictions(connection).copy_in([*rows, a_prediction(NOW, model_version="v2")])
    clients = ("a", "a", "b", "b", "b")
    await Feedback(connection).record(
        [a_vote(row, client=client) for row, client in zip(rows, clients, strict=True)]
    )
    beginnings = {"24h": NOW - timedelta(hours=24), "7d": NOW - timedelta(days=7)}
    assert await largest_source_shares(connection, beginnings) == {
        ("sentiment-v1", "24h"): pytest.approx(2 / 3),
        ("sentiment-v1", "7d"): pytest.approx(3 / 5),
    }
    await connection.execute(
        "INSERT INTO quarantined_sources (kind, name, quarantined_by) VALUES ('client', 'b', 'anna')"
    )
    assert set((await largest_source_shares(connection, beginnings)).values()) == {1.0}
    assert await largest_source_shares(connection, {}) == {}


async def _a_version(connection: Connection, name: str, number: int, phase: str) -> None:
    await connection.execute(
        """
        INSERT INTO model_versions (name, model_name, version, digest, spec, status, metadata, phase, created_by)
        VALUES ($1, 'sentiment', $2, 'sha256:x', '{}', $4, '{}', $3, 'test')
        """,
        name,
        number,
        phase,
        {"phaseStartedAt": NOW.isoformat()},
    )


async def test_who_serves_is_what_the_routing_says(connection: Connection) -> None:
    nobody = await champions(connection)
    assert (nobody.champions, nobody.previous, nobody.none_since) == ((), (), None)
    await _a_version(connection, "sentiment-v1", 1, "Archived")
    await _a_version(connection, "sentiment-v2", 2, "Live")
    await connection.execute(
        """
        INSERT INTO routing (model_name, revision, champion, previous_champion, variants)
        VALUES ('sentiment', 3, 'sentiment-v2', 'sentiment-v1', '[]')
        """
    )
    found = await champions(connection)
    assert found.champions == (Champion("sentiment-v2", NOW),)
    assert found.previous == ("sentiment-v1",)
    assert found.none_since is None


async def test_a_model_without_a_champion_is_missed_only_when_it_answered_before(
    connection: Connection,
) -> None:
    await _a_version(connection, "sentiment-v1", 1, "Pending")
    await connection.execute(
        "INSERT INTO routing (model_name, revision, variants, updated_at) VALUES ('sentiment', 1, '[]', $1)",
        NOW,
    )
    assert (await champions(connection)).none_since is None
    await Predictions(connection).copy_in([replace(a_prediction(), model_version="sentiment-v1")])
    assert (await champions(connection)).none_since == NOW
