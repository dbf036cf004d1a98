"""What keeps its cost while a database grows, and must say the same as the slow way: days, pages of votes, old months."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from sentops_core.domain.errors import NotFound
from sentops_core.store import feedback_inbox, overview, retention
from sentops_core.store.feedback import Feedback
from sentops_core.store.feedback_inbox import Cursor, FeedbackInbox, InboxFilter
from sentops_core.store.lineage import lineage
from sentops_core.store.overview import Overview
from sentops_core.store.pool import Connection
from sentops_core.store.predictions import Predictions
from sentops_core.store.quarantine import Quarantine
from sentops_core.store.retention import Doomed, RetentionTable
from sentops_core.store.tallies import Tallies
from tests.support.rows import a_prediction, a_vote

pytestmark = pytest.mark.pg

BEGIN = datetime(2026, 9, 28, tzinfo=UTC)
END = BEGIN + timedelta(days=6)


async def count_what_is_due(connection: Connection) -> None:
    tallies = Tallies(connection)
    await tallies.recount(await tallies.due(1000), {})


async def both_ways(connection: Connection) -> None:
    """By what was counted, and from the rows themselves."""
    shown = Overview(connection)
    answers = await connection.fetch(overview._ANSWERS_WITHOUT_COUNTS, BEGIN, END)
    votes = await connection.fetch(overview._VOTES_WITHOUT_COUNTS, BEGIN, END)
    assert [vars(one) for one in await shown.answers_by_day(BEGIN, END)] == [*map(dict, answers)]
    assert [vars(one) for one in await shown.votes_by_day(BEGIN, END)] == [*map(dict, votes)]


async def test_days_are_told_from_the_counts_as_the_rows_would_tell_them(
    connection: Connection,
) -> None:
    rows = [
        a_prediction(
            BEGIN + timedelta(hours=hours),
            model_version=f"sentiment-v{1 + hours % 2}",
            shadow=hours % 7 == 0,
            client=f"client-{hours % 3}",
        )
        for hours in range(5, 120, 2)
    ]
    await Predictions(connection).copy_in(rows[:40])
    await Feedback(connection).record([a_vote(row, "positive") for row in rows[:40:3]])
    await both_ways(connection)
    await count_what_is_due(connection)
    counted = await connection.fetchval("SELECT sum(answers) FROM day_tallies")
    assert counted == sum(not row.shadow for row in rows[:40])
    await both_ways(connection)

    # Everything that changes what was counted, before and after it is counted again.
    await Predictions(connection).copy_in(rows[40:])
    await Feedback(connection).record([a_vote(row, "negative") for row in rows[1::4]])
    quarantine = Quarantine(connection)
    await quarantine.add("client", "client-1", note="", evidence="", actor="anna")
    await both_ways(connection)
    await count_what_is_due(connection)
    await both_ways(connection)
    assert await Predictions(connection).drop_before(datetime(2026, 10, 1, tzinfo=UTC)) != []
    await both_ways(connection)
    await count_what_is_due(connection)
    await both_ways(connection)


async def test_a_page_of_votes_that_found_nothing_says_where_to_go_on(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feedback_inbox, "SCANNED", 4)
    rows = [a_prediction(BEGIN + timedelta(minutes=number)) for number in range(19)]
    await Predictions(connection).copy_in(rows)
    labels = ["neutral" if number in (0, 1, 17) else "positive" for number in range(19)]
    await Feedback(connection).record(
        [a_vote(row, label) for row, label in zip(rows, labels, strict=True)]
    )
    inbox, found, pages = FeedbackInbox(connection), [], 0
    older: Cursor | None = None
    while pages == 0 or older is not None:
        page = await inbox.page(InboxFilter(label="neutral"), before=older, limit=3)
        found += [row.prediction_id for row in page.rows]
        older = page.older
        pages += 1
    assert found == [rows[number].id for number in (17, 1, 0)]
    assert pages == 5


async def test_a_client_s_page_goes_on_into_older_months(connection: Connection) -> None:
    moments = [BEGIN - timedelta(days=25 * number) for number in range(8)]
    rows = [a_prediction(moment, client="client-far") for moment in moments]
    await Predictions(connection).copy_in(rows)
    predictions = Predictions(connection)
    first = await predictions.recent("client-far", limit=3)
    rest = await predictions.recent("client-far", before=first[-1].id, limit=50)
    assert [row.id for row in first + rest] == [row.id for row in rows]


async def test_what_a_retention_deletes_is_estimated_where_it_is_a_great_deal(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    rows = [a_prediction(begin + timedelta(hours=number)) for number in range(0, 1400, 4)]
    await Predictions(connection).copy_in(rows)
    await Feedback(connection).record([a_vote(row) for row in rows[:20]])
    first_kept = datetime(2024, 3, 1, tzinfo=UTC)
    table = RetentionTable(connection)
    assert await table.doomed(first_kept) == Doomed(350, 20, begin)
    await connection.execute("ANALYZE predictions_2024_01, predictions_2024_02")
    monkeypatch.setattr(retention, "COUNTED_ROWS", 15)
    assert await table.doomed(first_kept) == Doomed(350, 15, begin, estimated=True)


@pytest.mark.parametrize("joined", ["enable_nestloop", "enable_hashjoin"])
async def test_old_months_go_however_the_server_joins_its_catalogue(
    connection: Connection, joined: str
) -> None:
    """With a join by hash, names of other tables were once read as months, and housekeeping failed."""
    await Predictions(connection).copy_in([a_prediction(datetime(2024, 2, 5, tzinfo=UTC))])
    await connection.execute("SELECT set_config($1, 'off', true)", joined)
    dropped = await Predictions(connection).drop_before(datetime(2024, 3, 1, tzinfo=UTC))
    assert dropped == ["predictions_2024_02"]


async def test_an_id_that_holds_no_moment_is_not_found(connection: Connection) -> None:
    with pytest.raises(NotFound):
        await lineage(connection, UUID(int=2**128 - 1))
