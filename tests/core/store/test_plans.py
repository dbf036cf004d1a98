"""The hot queries, on some thousands of rows, use the index or partition that was made for them (EXPLAIN, no timing).

The planner is left as it is; ANALYZE gives it true figures, as autovacuum does in a living database.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sentops_core.store import (
    feedback,
    feedback_inbox,
    labelling_feed,
    lineage,
    overview,
    predictions,
    tallies,
    tally_counting,
    training_jobs,
)
from sentops_core.store.feedback import Feedback
from sentops_core.store.feedback_inbox import InboxFilter, Review
from sentops_core.store.pool import Connection, open_connection
from sentops_core.store.predictions import PredictionRow, Predictions
from tests.support.postgres import copied_database, run_aside
from tests.support.rows import NOW, a_prediction, a_vote

pytestmark = pytest.mark.pg

MONTHS = [datetime(2026, month, 2, tzinfo=UTC) for month in (8, 9, 10, 11)]
PER_MONTH = 2000
A_HANDFUL = {"quarantined_sources"}  # rows that a person wrote one by one


def some_rows() -> list[PredictionRow]:
    """40 clients and 4 versions over 4 months."""
    return [
        a_prediction(
            month + timedelta(minutes=10 * n),
            text="x" * 80,
            client=f"client-{n % 40}",
            model_version=f"v{n % 4}",
        )
        for month in MONTHS
        for n in range(PER_MONTH)
    ]


async def fill(url: str) -> None:
    connection = await open_connection(url)
    rows = some_rows()
    async with connection.transaction():
        await Predictions(connection).copy_in(rows)
        await Feedback(connection).upsert_many([a_vote(row) for row in rows[::5]])
        await connection.execute(
            """
            INSERT INTO training_jobs (name, spec, status, metadata, phase, model_name, created_by, created_at)
            SELECT 'job-' || n, '{}', '{}', '{}', CASE WHEN n % 500 = 0 THEN 'Running' ELSE 'Succeeded' END,
                   'sentiment', 'test', now() - n * interval '1 hour'
              FROM generate_series(1, 3000) AS n
            """
        )
        await connection.execute(
            """
            INSERT INTO training_events (training_job, reason, message)
            SELECT 'job-' || (n % 3000 + 1), 'RunStarted', 'x' FROM generate_series(1, 9000) AS n
            """
        )
    await connection.execute("ANALYZE")
    await connection.close()


@pytest.fixture(scope="module")
def filled_database_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    for url in copied_database(postgres_server, postgres_template):
        run_aside(fill(url))
        yield url


@pytest.fixture
async def filled(filled_database_url: str) -> AsyncIterator[Connection]:
    connection = await open_connection(filled_database_url)
    yield connection
    await connection.close()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


async def explain(connection: Connection, statement: str, *values: object) -> list[dict[str, Any]]:
    """The plan's nodes that really ran."""
    answer = await connection.fetchval(
        f"EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF) {statement}", *values
    )
    document = json.loads(answer)
    return [node for node in nodes(document[0]["Plan"]) if node["Actual Loops"] > 0]


def tables(plan: list[dict[str, Any]]) -> set[str]:
    return {node["Relation Name"] for node in plan if "Relation Name" in node}


def indexes(plan: list[dict[str, Any]]) -> set[str]:
    """Names of indexes, without the month."""
    return {re.sub(r"\d{4}_\d\d_", "", node["Index Name"]) for node in plan if "Index Name" in node}


def read_fully(plan: list[dict[str, Any]]) -> set[str]:
    return {node["Relation Name"] for node in plan if node["Node Type"] == "Seq Scan"}


async def test_a_client_s_newest_page_reads_the_newest_months_only(filled: Connection) -> None:
    last = predictions._NEWEST
    beginning = datetime(2026, 8, 1, tzinfo=UTC)
    plan = await explain(
        filled, predictions._RECENT, "client-7", NOW + timedelta(days=30), last, beginning, 20
    )
    assert tables(plan) == {"predictions_2026_11"}
    assert indexes(plan) == {"predictions_client_created_at_idx"}
    assert not read_fully(plan)


async def test_an_older_page_of_a_client_leaves_the_newer_months_alone(filled: Connection) -> None:
    before = datetime(2026, 9, 10, tzinfo=UTC)
    floor = before - predictions._LOOK_BACK
    plan = await explain(
        filled, predictions._RECENT, "client-7", before, predictions._NEWEST, floor, 20
    )
    assert tables(plan) == {"predictions_2026_09"}


async def test_lineage_looks_for_an_answer_in_its_own_month(filled: Connection) -> None:
    row = (await Predictions(filled).recent("client-1", limit=1))[0]
    plan = await explain(filled, lineage._PREDICTION, row.id, row.created_at)
    assert tables(plan) == {"predictions_2026_11"}
    assert not read_fully(plan)


async def test_a_prediction_is_found_in_its_own_month(filled: Connection) -> None:
    row = (await Predictions(filled).recent("client-1", limit=1))[0]
    plan = await explain(filled, predictions._GET, row.created_at, row.id)
    assert tables(plan) == {"predictions_2026_11"}
    assert not read_fully(plan)


async def test_one_version_s_window_uses_its_index(filled: Connection) -> None:
    plan = await explain(
        filled,
        "SELECT count(*) FROM predictions WHERE model_version = $1 AND created_at >= $2",
        "v1",
        datetime(2026, 11, 14, tzinfo=UTC),
    )
    assert tables(plan) == {"predictions_2026_11"}
    assert "predictions_model_version_created_at_idx" in indexes(plan)


async def test_recent_votes_are_joined_to_their_own_month_only(filled: Connection) -> None:
    since = datetime(2026, 11, 14, tzinfo=UTC)
    plan = await explain(filled, feedback._BY_VERSION, since)
    assert tables(plan) == {"feedback", "predictions_2026_11", *A_HANDFUL}
    assert "feedback" not in read_fully(plan)


async def test_new_votes_for_a_dataset_touch_only_the_months_they_are_about(
    filled: Connection,
) -> None:
    """No bound on the month is given here: each vote's own predicted_at leads to its partition."""
    since = datetime(2026, 11, 15, 15, tzinfo=UTC)
    plan = await explain(filled, feedback._FOR_DATASET, since)
    assert tables(plan) == {"feedback", "predictions_2026_11", *A_HANDFUL}
    assert read_fully(plan) <= A_HANDFUL


async def test_a_client_s_votes_on_a_page_are_found_by_their_keys(filled: Connection) -> None:
    """Also where the client has given most of all votes."""
    ids = [row.id for row in await Predictions(filled).recent("client-1", limit=20)]
    plan = await explain(filled, feedback._OF_CLIENT, "client-1", ids)
    assert indexes(plan) == {"feedback_pkey"}


async def test_open_jobs_are_found_without_reading_the_finished_ones(filled: Connection) -> None:
    plan = await explain(filled, training_jobs._OPEN)
    assert indexes(plan) == {"training_jobs_open"}
    assert not read_fully(plan)


async def test_events_of_a_job_use_their_index(filled: Connection) -> None:
    plan = await explain(filled, training_jobs._EVENTS, "job-17", 0, 500)
    assert indexes(plan) == {"training_events_job"}


async def test_forgetting_a_client_finds_its_rows_by_index(filled: Connection) -> None:
    transaction = filled.transaction()
    await transaction.start()
    plan = await explain(filled, predictions._ERASE_PREDICTIONS, "client-3")
    await transaction.rollback()
    assert indexes(plan) == {"predictions_client_created_at_idx"}
    assert not read_fully(plan)


def inbox_statement(wanted: InboxFilter) -> tuple[str, list[object]]:
    """What a page of fifty asks, as it is sent."""
    clause, value = feedback_inbox._narrowing(wanted)
    scan = feedback_inbox._SCAN + clause + feedback_inbox._SCAN_ORDER
    statement = feedback_inbox._SELECT + scan + feedback_inbox._REST
    status, corrected = feedback_inbox._stored(wanted.review)
    filters = [wanted.client, wanted.source, status, corrected, wanted.label]
    last = [wanted.model_version, wanted.disagreement, 50]
    return statement, [*feedback_inbox._NEWEST, SCANNED_HERE, value, *filters, *last]


SCANNED_HERE = 200


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (InboxFilter(), "feedback_recent"),
        (InboxFilter(review=Review.ACCEPTED, label="positive"), "feedback_status_recent"),
        (InboxFilter(review=Review.CORRECTED), "feedback_corrected"),
        (InboxFilter(source="nobody's"), "feedback_source_recent"),
        (InboxFilter(client="client-5", label="positive"), "feedback_client_recent"),
        (InboxFilter(model_version="never served"), "feedback_recent"),
    ],
)
async def test_a_page_of_the_inbox_looks_at_so_many_votes_and_no_more(
    filled: Connection, wanted: InboxFilter, index: str
) -> None:
    """Planned for any value, as the server does after some times; but the first and the client's, none finds anything."""
    statement, values = inbox_statement(wanted)
    transaction = filled.transaction()
    await transaction.start()
    await filled.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    plan = await explain(filled, statement, *values)
    await transaction.rollback()
    votes = [node for node in plan if node.get("Index Name", "").startswith("feedback_")]
    assert [node["Index Name"] for node in votes] == [index]
    # To sort those of one moment by their ids, it reads the first one of the next.
    read = sum(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in votes)
    assert read <= SCANNED_HERE + 1
    assert not {name for name in read_fully(plan) if name.startswith(("predictions", "feedback"))}


async def test_counts_of_votes_end_where_nobody_reads_on(filled: Connection) -> None:
    plan = await explain(filled, feedback_inbox._COUNTS, 100)
    read = [node["Actual Rows"] for node in plan if node.get("Relation Name") == "feedback"]
    assert read
    assert max(read) <= 100


async def test_days_that_are_counted_are_not_counted_again(filled: Connection) -> None:
    """Two of all the ten minutes changed since: their answers are all that is read."""
    since, until = datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 12, tzinfo=UTC)
    changed = [since + timedelta(hours=1), since + timedelta(days=3)]
    for statement in (overview._ANSWERS, overview._VOTES):
        plan = await explain(filled, statement, since, until, changed)
        answers = [n for n in plan if n.get("Relation Name", "").startswith("predictions")]
        assert sum(node["Actual Rows"] * node["Actual Loops"] for node in answers) <= 2
        assert "feedback" not in read_fully(plan)


async def test_figures_of_sources_look_up_one_answer_per_vote(filled: Connection) -> None:
    plan = await explain(filled, feedback_inbox._JUDGED, MONTHS[0], 500)
    assert not {name for name in read_fully(plan) if name.startswith("predictions")}


async def test_answers_of_shadows_are_found_without_reading_the_others(filled: Connection) -> None:
    plan = await explain(filled, labelling_feed._DISAGREEMENTS, MONTHS[0], 500)
    assert "predictions_created_at_idx" in indexes(plan)
    assert not {name for name in read_fully(plan) if name.startswith("predictions")}


async def test_counting_ten_minutes_anew_reads_those_and_no_others(filled: Connection) -> None:
    """Of 8,000 answers over four months, as of eight million: only the one that was given then, and its vote."""
    begin = MONTHS[3] + timedelta(hours=5)
    end = begin + timedelta(minutes=10)
    score = (float(tally_counting.SCORE_UNIT), tally_counting.CONFIDENCE_BINS)
    for statement, values in (
        (tally_counting._ANSWERS, (tally_counting.LENGTH_EDGES, *score)),
        (tally_counting._TEXTS, (100,)),
        (tally_counting._VOTES, score),
    ):
        plan = await explain(filled, statement, begin, end, *values)
        assert tables(plan) <= {"feedback", "predictions_2026_11", *A_HANDFUL}
        assert read_fully(plan) <= A_HANDFUL
        # Each node's rows, and those it had to throw away.
        read = [
            node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            for node in plan
            if "Relation Name" in node and node["Relation Name"] not in A_HANDFUL
        ]
        assert read
        assert max(read) <= 1


async def test_what_is_due_is_settled_by_its_key(filled: Connection) -> None:
    undone = filled.transaction()
    await undone.start()
    await filled.execute("ANALYZE tallies_due")
    due = await tallies.Tallies(filled).due(2)
    plan = await explain(
        filled,
        tallies._SETTLE,
        [one.kind for one in due],
        [one.bucket for one in due],
        [one.changes for one in due],
    )
    await undone.rollback()
    assert indexes(plan) == {"tallies_due_pkey"}
    assert not read_fully(plan)


async def test_unsure_answers_come_in_the_order_of_their_index(filled: Connection) -> None:
    transaction = filled.transaction()
    await transaction.start()
    await filled.execute("UPDATE predictions SET score = 0.95 WHERE client <> 'client-7'")
    await filled.execute("ANALYZE predictions")
    plan = await explain(filled, labelling_feed._UNCERTAIN, MONTHS[0], 20)
    await transaction.rollback()
    assert "predictions_score_idx" in indexes(plan)
    assert not {name for name in read_fully(plan) if name.startswith("predictions")}
