"""Predictions: no acknowledged row is lost or doubled, months come and go, a client can be forgotten."""

import asyncio
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from sentops_core.store.feedback import Feedback
from sentops_core.store.migrate import known_migrations, migrate, require_current
from sentops_core.store.pool import Connection, Pool, open_connection, transaction
from sentops_core.store.predictions import Erasure, Predictions, moment_of
from tests.support.rows import NOW, a_prediction, a_vote, uuid7_at

pytestmark = pytest.mark.pg


async def months(connection: Connection) -> list[str]:
    rows = await connection.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'predictions'::regclass ORDER BY 1"
    )
    return [row[0] for row in rows]


def test_the_moment_of_an_id_is_its_own_millisecond() -> None:
    moment = datetime(2026, 11, 21, 12, 0, 0, 123000, tzinfo=UTC)
    assert moment_of(uuid7_at(moment)) == moment


async def test_a_row_comes_back_as_it_was(connection: Connection) -> None:
    row = a_prediction(text="Perché no? \"'; DROP TABLE\n\t\\N 🙂", language=None)
    assert await Predictions(connection).copy_in([row]) == 1
    assert await Predictions(connection).get(row.id, row.created_at) == row


async def test_a_replayed_batch_adds_only_what_is_new(connection: Connection) -> None:
    predictions = Predictions(connection)
    first, second, third = (a_prediction() for _ in range(3))
    assert await predictions.copy_in([first, second]) == 2
    assert await predictions.copy_in([first, second, third]) == 1
    assert await predictions.copy_in([first, first]) == 0
    assert await predictions.copy_in([]) == 0
    assert len(await predictions.recent("client-a")) == 3


async def test_rows_of_a_month_without_partition_are_kept(connection: Connection) -> None:
    late = datetime(2026, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)
    rows = [
        a_prediction(datetime(1970, 1, 1, tzinfo=UTC)),
        a_prediction(late),
        a_prediction(late + timedelta(milliseconds=1)),
        a_prediction(datetime(2031, 2, 28, tzinfo=UTC)),
    ]
    assert await Predictions(connection).copy_in(rows) == 4
    assert await months(connection) == [
        "predictions_1970_01",
        "predictions_2026_12",
        "predictions_2027_01",
        "predictions_2031_02",
    ]


async def test_a_month_is_the_same_whatever_the_session_s_time_zone(connection: Connection) -> None:
    await connection.execute("SET LOCAL timezone = 'Pacific/Auckland'")
    last = a_prediction(datetime(2026, 11, 30, 23, 59, tzinfo=UTC))
    await Predictions(connection).copy_in([last])
    assert await months(connection) == ["predictions_2026_11"]


async def test_two_writers_meeting_a_new_month_both_succeed(pool: Pool) -> None:
    async def write(count: int) -> int:
        async with transaction(pool) as connection:
            return await Predictions(connection).copy_in([a_prediction() for _ in range(count)])

    assert await asyncio.gather(*(write(5) for _ in range(4))) == [5, 5, 5, 5]
    async with transaction(pool) as connection:
        assert len(await Predictions(connection).recent("client-a", limit=100)) == 20


async def test_partitions_are_made_ahead_over_the_turn_of_the_year(connection: Connection) -> None:
    predictions = Predictions(connection)
    now = datetime(2026, 11, 30, 23, tzinfo=UTC)
    made = ["predictions_2026_11", "predictions_2026_12", "predictions_2027_01"]
    assert await predictions.ensure_partitions(now) == made
    assert await predictions.ensure_partitions(now) == []


async def test_pages_of_a_client_meet_without_gap_or_overlap(connection: Connection) -> None:
    """A batch's rows share one millisecond, so the moment alone does not order them."""
    predictions = Predictions(connection)
    rows = [a_prediction(NOW - timedelta(days=20 * (n // 4))) for n in range(12)]
    others = [a_prediction(client="client-b"), a_prediction(shadow=True)]
    await predictions.copy_in([*rows, *others])
    seen = []
    page = await predictions.recent("client-a", limit=5)
    while page:
        seen += page
        page = await predictions.recent("client-a", before=page[-1].id, limit=5)
    assert seen == sorted(rows, key=lambda row: row.id, reverse=True)


async def test_retention_drops_whole_months_and_the_votes_on_them(connection: Connection) -> None:
    predictions, feedback = Predictions(connection), Feedback(connection)
    old = a_prediction(datetime(2026, 8, 15, tzinfo=UTC))
    split = a_prediction(datetime(2026, 9, 1, tzinfo=UTC))
    new = a_prediction(datetime(2026, 11, 15, tzinfo=UTC))
    await predictions.copy_in([old, split, new])
    await feedback.upsert_many([a_vote(row) for row in (old, split, new)])

    dropped = await predictions.drop_before(datetime(2026, 9, 20, tzinfo=UTC))

    assert dropped == ["predictions_2026_08"]
    assert await predictions.get(old.id, old.created_at) is None
    assert await predictions.get(split.id, split.created_at) == split
    assert await feedback.of_prediction(old.id) == []
    assert len(await feedback.of_prediction(split.id)) == 1
    assert await predictions.drop_before(datetime(2026, 9, 20, tzinfo=UTC)) == []


async def test_retention_does_not_wait_long_for_a_reader(pool: Pool, database_url: str) -> None:
    async with transaction(pool) as connection:
        await Predictions(connection).copy_in([a_prediction(datetime(2026, 8, 15, tzinfo=UTC))])
    reader = await open_connection(database_url)
    reading = reader.transaction()
    await reading.start()
    await reader.fetch("SELECT id FROM predictions")

    async def drop() -> None:
        async with transaction(pool) as connection:
            await Predictions(connection).drop_before(NOW, wait=timedelta(milliseconds=50))

    with pytest.raises(asyncpg.LockNotAvailableError):
        await drop()
    await reading.rollback()
    await reader.close()
    await drop()


async def make_dataset(connection: Connection, name: str, prediction_ids: list[object]) -> None:
    await connection.execute(
        "INSERT INTO datasets (name, labels, split_salt) VALUES ('d', '{a,b}', 's') ON CONFLICT DO NOTHING"
    )
    await connection.execute(
        """
        INSERT INTO dataset_versions (name, number, dataset, content_hash, holdout_hash, storage_uri, rows_train,
                                      rows_holdout, label_counts, report, created_by)
        VALUES ($1::text, substr($1, 2)::int, 'd', $1, $1, 'file:///d', 1, 1, '{}', '{}', 'test')
        """,
        name,
    )
    for number, prediction_id in enumerate(prediction_ids):
        await connection.execute(
            """
            INSERT INTO dataset_members (dataset_version, content_hash, label, split, source, prediction_id)
            VALUES ($1, $2, 'a', 'train', 'feedback', $3)
            """,
            name,
            bytes([number]),
            prediction_id,
        )


async def test_forgetting_a_client_leaves_no_text_key_vote_or_example_and_marks_versions(
    connection: Connection,
) -> None:
    predictions, feedback = Predictions(connection), Feedback(connection)
    mine, mine_too = a_prediction(text="secret one"), a_prediction(text="secret two")
    other = a_prediction(client="client-b", text="not mine")
    await predictions.copy_in([mine, mine_too, other])
    await feedback.upsert_many(
        [a_vote(mine), a_vote(mine_too, note="my note"), a_vote(other, client="client-b")]
    )
    await make_dataset(connection, "v1", [mine.id, mine_too.id, other.id])
    await make_dataset(connection, "v2", [mine.id, None])
    await make_dataset(connection, "v3", [other.id])
    await connection.executemany(
        "INSERT INTO examples (content_hash, text, label, source, prediction_id) VALUES ($1, $2, 'a', 'feedback', $3)",
        [(b"1", mine.text, mine.id), (b"2", other.text, other.id)],
    )

    erased = await predictions.erase_client("client-a")

    assert erased == Erasure(predictions=2, feedback=2, examples=1, dataset_versions=("v1", "v2"))
    left = await predictions.get(mine.id, mine.created_at)
    assert left is not None
    assert (left.text, left.text_hash, left.client, left.label) == (None, b"", "erased", "positive")
    assert await predictions.get(other.id, other.created_at) == other
    assert len(await feedback.of_prediction(other.id)) == 1
    rows = await connection.fetch("SELECT name, erased_rows FROM dataset_versions ORDER BY name")
    assert [tuple(row) for row in rows] == [("v1", 2), ("v2", 1), ("v3", 0)]
    assert await connection.fetchval("SELECT array_agg(text) FROM examples") == ["not mine"]

    assert await predictions.erase_client("client-a") == Erasure(0, 0, 0, ())
    rows = await connection.fetch("SELECT erased_rows FROM dataset_versions ORDER BY name")
    assert [row[0] for row in rows] == [2, 1, 0]


async def test_months_from_before_the_fast_path_take_which_model_answered(
    empty_database_url: str,
) -> None:
    connection = await open_connection(empty_database_url)
    before = [one for one in known_migrations() if one.version < 9]
    await migrate(connection, before)
    old = a_prediction()
    await connection.execute("SELECT ensure_predictions_month($1)", old.created_at)
    record = {name: value for name, value in asdict(old).items() if name != "path"}
    await connection.copy_records_to_table(
        "predictions", records=[tuple(record.values())], columns=list(record)
    )
    await migrate(connection)
    await require_current(connection, before)  # programs from before it can still be returned to
    fast, later = a_prediction(path="fast"), a_prediction(NOW + timedelta(days=40), path="full")
    async with connection.transaction():
        assert await Predictions(connection).copy_in([fast, later]) == 2
    for row in (old, fast, later):
        assert await Predictions(connection).get(row.id, row.created_at) == row
    with pytest.raises(asyncpg.CheckViolationError, match="path"):
        async with connection.transaction():
            await Predictions(connection).copy_in([replace(a_prediction(), path="slow")])
    await connection.close()
