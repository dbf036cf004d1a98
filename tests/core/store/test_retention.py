"""How long predictions are kept: the operator's limit, an admin's choice, and what housekeeping makes of both."""

from datetime import UTC, datetime, timedelta

import pytest

from sentops_core.domain.retention import Retention
from sentops_core.store.feedback import Feedback
from sentops_core.store.maintain import maintain
from sentops_core.store.pool import Connection
from sentops_core.store.predictions import Predictions
from sentops_core.store.retention import Doomed, RetentionTable
from tests.support.rows import NOW, a_prediction, a_vote

DAYS = timedelta(days=1)


@pytest.mark.parametrize(
    ("chosen", "limit", "kept"),
    [
        (None, None, None),
        (30 * DAYS, None, 30 * DAYS),
        (None, 90 * DAYS, 90 * DAYS),
        (30 * DAYS, 90 * DAYS, 30 * DAYS),
        (400 * DAYS, 90 * DAYS, 90 * DAYS),
    ],
)
def test_nothing_is_kept_longer_than_operator_and_admin_agree(
    chosen: timedelta | None, limit: timedelta | None, kept: timedelta | None
) -> None:
    assert Retention(chosen, limit).kept == kept


def test_whole_months_go() -> None:
    assert Retention(chosen=30 * DAYS).first_kept(NOW) == datetime(2026, 10, 1, tzinfo=UTC)
    assert Retention().first_kept(NOW) is None


@pytest.mark.pg
async def test_housekeeping_deletes_what_an_admin_chose_and_says_what_it_was_told(
    connection: Connection,
) -> None:
    old, new = a_prediction(NOW - 100 * DAYS), a_prediction(NOW)
    async with connection.transaction():
        await Predictions(connection).copy_in([old, new])
        await Feedback(connection).upsert_many([a_vote(old), a_vote(new)])
    table = RetentionTable(connection)

    await maintain(connection, now=NOW, limit=365 * DAYS)
    assert (await table.get()).retention == Retention(limit=365 * DAYS)
    assert (await table.get()).tidied_at == NOW
    assert await connection.fetchval("SELECT count(*) FROM predictions") == 2

    await table.choose(30, by="anna")
    first_kept = (await table.get()).retention.first_kept(NOW)
    assert first_kept is not None
    assert await table.doomed(first_kept) == Doomed(1, 1, old.created_at)
    await maintain(connection, now=NOW, limit=365 * DAYS)
    assert await connection.fetchval("SELECT count(*) FROM predictions") == 1
    assert await connection.fetchval("SELECT count(*) FROM feedback") == 1
    assert (await table.get()).chosen_by == "anna"

    await table.choose(None, by="anna")
    assert (await table.get()).retention.kept == 365 * DAYS


@pytest.mark.pg
async def test_an_admin_cannot_keep_longer_than_the_operator_lets(connection: Connection) -> None:
    async with connection.transaction():
        await Predictions(connection).copy_in([a_prediction(NOW - 100 * DAYS)])
    await RetentionTable(connection).choose(3650, by="anna")
    await maintain(connection, now=NOW, limit=30 * DAYS)
    assert await connection.fetchval("SELECT count(*) FROM predictions") == 0
