"""What the programs ask of the database, each as they ask it: through the store and the pages' own functions."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import asyncpg

from sentops_backoffice import labelling, reviewing
from sentops_backoffice.labelling_figures import agreement
from sentops_backoffice.state_of_affairs import PastDays, state_of_affairs
from sentops_core.store.dataset_rows import DatasetRows, RowFilter
from sentops_core.store.datasets import Datasets
from sentops_core.store.feedback import Feedback, FeedbackRow
from sentops_core.store.feedback_inbox import FeedbackInbox, InboxFilter, Review
from sentops_core.store.labelling_figures import LabellingFigures
from sentops_core.store.lineage import lineage
from sentops_core.store.maintain import maintain
from sentops_core.store.pool import Connection, Pool, open_pool, prepare
from sentops_core.store.predictions import PredictionRow, Predictions
from sentops_core.store.retention import RetentionTable
from sentops_core.store.retrain_evidence import RetrainEvidence
from sentops_core.store.serving_history import ServingHistory
from sentops_core.store.similar_examples import SimilarExamples
from sentops_core.store.vote_sources import largest_source_shares
from sentops_monitor.round import Round
from tests.support.rows import a_prediction, a_vote, a_withdrawal

BATCH = 200  # rows of one transaction of web's drain
_VOTES = 20
_PAGE = 50
_OLD = datetime(2019, 5, 1, tzinfo=UTC)
_OLD_ROWS = 1000
_WINDOWS = {"28d": timedelta(days=28), "24h": timedelta(days=1)}


@dataclass
class Place:
    """One database with one connection, and what the operations leave for each other."""

    pool: Pool
    now: datetime
    random: Random
    monitor: Round = field(default_factory=Round)
    recent: list[PredictionRow] = field(default_factory=list)
    known: list[PredictionRow] = field(default_factory=list)
    visitor: str = ""
    program: str = ""
    deep: UUID | None = None
    deep_vote: tuple[datetime, UUID] | None = None
    version: str = ""
    votes: int = 0
    new_votes: int = 0
    window_votes: int = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self.pool.acquire() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def undone(self) -> AsyncIterator[Connection]:
        """A transaction that is rolled back."""
        async with self.pool.acquire() as connection:
            begun = connection.transaction()
            await begun.start()
            try:
                yield connection
            finally:
                await begun.rollback()

    def prediction(self, **fields: object) -> PredictionRow:
        digits = secrets.token_hex(40)
        return a_prediction(
            datetime.now(UTC) - timedelta(milliseconds=self.random.randrange(60_000)),
            text=digits[: self.random.randrange(10, 80)] + " " + digits[:30],
            client=str(fields.pop("client", f"web-{secrets.token_hex(16)}")),
            label=self.random.choice(("negative", "neutral", "positive")),
            score=1 - 0.6 * self.random.random() ** 2,
            model_version=self.version,
            **fields,
        )


Work = Callable[[Place], Awaitable[object]]


@dataclass(frozen=True)
class Operation:
    """`per`: by how much of the place the cost is divided, which is so many of the `unit`."""

    name: str
    work: Work
    repeat: int = 3
    before: Work | None = None
    per: Callable[[Place], float] = lambda _: 1.0
    unit: str = "call"


_EXPLAINING = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_nested_statements": "on",
    "client_min_messages": "log",
}


@asynccontextmanager
async def place(url: str, now: datetime) -> AsyncIterator[Place]:
    """With one connection, so that one server process does everything."""
    pool = await open_pool(url, min_size=1, max_size=1, application_name="bench")
    try:
        found = Place(pool, now, Random(7))
        async with found.transaction() as connection:
            await _look_around(found, connection)
        yield found
    finally:
        await pool.close()


@asynccontextmanager
async def explained(at: Place, url: str) -> AsyncIterator[list[str]]:
    """Meanwhile the place goes by another connection, whose statements' plans are listed as they run."""
    plans: list[str] = []

    def hear(_: object, message: asyncpg.PostgresLogMessage) -> None:
        if "plan:" in (said := str(message)):
            plans.append(said)

    async def listen(connection: Connection) -> None:
        connection.add_log_listener(hear)

    usual = at.pool
    at.pool = await asyncpg.create_pool(
        url, min_size=1, max_size=1, init=prepare, setup=listen, server_settings=_EXPLAINING
    )
    try:
        yield plans
    finally:
        await at.pool.close()
        at.pool = usual


async def _look_around(found: Place, connection: Connection) -> None:
    fetch, value = connection.fetch, connection.fetchval
    newest = await value("SELECT max(created_at) FROM predictions")
    oldest = await value(
        "SELECT min(created_at) FROM predictions WHERE created_at > $1", _OLD + timedelta(days=60)
    )
    found.version = await value("SELECT name FROM model_versions ORDER BY version DESC LIMIT 1")
    found.program = f"id-{'p' * 31}0"
    ids = []
    for number in range(60):
        moment = newest - (newest - oldest) * number / 60
        ids += await fetch(
            "SELECT id, created_at FROM predictions WHERE created_at <= $1 AND NOT shadow "
            "ORDER BY created_at DESC LIMIT 1",
            moment,
        )
    stored = [await Predictions(connection).get(row["id"], row["created_at"]) for row in ids]
    found.known = [row for row in stored if row is not None]
    pages = await Predictions(connection).recent(found.program, limit=1500)
    found.deep = pages[-1].id
    found.visitor = next(
        row["client"]
        for row in await fetch("SELECT client FROM predictions ORDER BY created_at DESC LIMIT 500")
        if row["client"].startswith("web-")
    )
    found.votes = await value("SELECT count(*) FROM feedback")
    deep = await connection.fetchrow(
        "SELECT voted_at, vote_id FROM feedback ORDER BY voted_at DESC OFFSET $1 LIMIT 1",
        min(200, found.votes // 2),
    )
    assert deep is not None
    found.deep_vote = (deep["voted_at"], deep["vote_id"])
    counted = "SELECT count(*) FROM feedback WHERE voted_at > $1"
    found.new_votes = await value(
        counted, await value("SELECT max(created_at) FROM dataset_versions")
    )
    found.window_votes = await value(counted, found.now - _WINDOWS["28d"])


# Writing.


async def _insert(at: Place) -> None:
    rows = [at.prediction() for _ in range(BATCH)]
    async with at.transaction() as connection:
        await Predictions(connection).copy_in(rows)
    at.recent = rows[:_VOTES]


def _votes_of(at: Place, label: str, after: float) -> list[FeedbackRow]:
    return [a_vote(row, label, after=after) for row in at.recent]


async def _vote(at: Place) -> None:
    async with at.transaction() as connection:
        await Feedback(connection).record(_votes_of(at, "negative", 1))


async def _change_vote(at: Place) -> None:
    async with at.transaction() as connection:
        await Feedback(connection).record(_votes_of(at, "positive", 2))


async def _withdraw(at: Place) -> None:
    async with at.transaction() as connection:
        await Feedback(connection).record([], [a_withdrawal(row, after=3) for row in at.recent])


# Pages of web.


async def _look_up(at: Place, row: PredictionRow) -> None:
    async with at.transaction() as connection:
        assert await Predictions(connection).get(row.id, row.created_at) is not None
        await Feedback(connection).of_client(row.client, [row.id])


async def _look_up_recent(at: Place) -> None:
    await _look_up(at, at.random.choice(at.recent))


async def _look_up_any(at: Place) -> None:
    await _look_up(at, at.random.choice(at.known))


async def _history(at: Place, client: str, before: UUID | None = None) -> None:
    async with at.transaction() as connection:
        rows = await Predictions(connection).recent(client, before=before, limit=_PAGE)
        await Feedback(connection).of_client(client, [row.id for row in rows])


async def _history_of_newcomer(at: Place) -> None:
    await _history(at, at.recent[0].client)


async def _history_of_visitor(at: Place) -> None:
    await _history(at, at.visitor)


async def _history_of_program(at: Place) -> None:
    await _history(at, at.program)


async def _history_deep(at: Place) -> None:
    await _history(at, at.program, at.deep)


async def _similar(at: Place) -> None:
    async with at.transaction() as connection:
        within = timedelta(seconds=30)
        text = at.known[0].text or ""
        await SimilarExamples(connection).like(text, ["v1"], limit=5, within=within)


# Pages of the back office.


async def _overview_first(at: Place) -> None:
    async with at.transaction() as connection:
        await state_of_affairs(connection, "sentiment", PastDays(), now=datetime.now(UTC))


def _inbox(wanted: InboxFilter, *, deep: bool = False) -> Work:
    async def work(at: Place) -> None:
        chosen = replace(wanted, client=at.visitor) if wanted.client else wanted
        if wanted.model_version:
            chosen = replace(chosen, model_version=at.known[20].model_version)
        async with at.transaction() as connection:
            before = at.deep_vote if deep else None
            await FeedbackInbox(connection).page(chosen, before=before, limit=_PAGE)

    return work


async def _inbox_counts(at: Place) -> None:
    async with at.transaction() as connection:
        await FeedbackInbox(connection).counts()
        await FeedbackInbox(connection).sources()


async def _sources(at: Place) -> None:
    async with at.transaction() as connection:
        await reviewing.sources(connection, now=datetime.now(UTC))


async def _queue_page(at: Place) -> None:
    async with at.transaction() as connection:
        now = datetime.now(UTC)
        await LabellingFigures(connection).progress(today=labelling.today(now))
        await labelling.next_item(connection, "bruno", now=now)


async def _queue_fill(at: Place) -> None:
    async with at.undone() as connection:
        await labelling.fill(connection, now=datetime.now(UTC), every=timedelta(0))


async def _agreement(at: Place) -> None:
    async with at.transaction() as connection:
        await agreement(connection)


async def _lineage(at: Place) -> None:
    async with at.transaction() as connection:
        await lineage(connection, at.random.choice(at.known).id)


async def _dataset_rows(at: Place) -> None:
    async with at.transaction() as connection:
        await DatasetRows(connection).browse("v2")
        await DatasetRows(connection).browse("v2", RowFilter(search="a87ff"))


async def _answered_today(at: Place) -> None:
    async with at.transaction() as connection:
        since = datetime.now(UTC) - timedelta(days=1)
        await ServingHistory(connection).answered_since(at.version, since)


async def _retention_preview(at: Place) -> None:
    async with at.transaction() as connection:
        await RetentionTable(connection).doomed(at.now.replace(day=1, hour=0, minute=0))


# What trains and watches.


async def _votes_for_dataset(at: Place) -> None:
    async with at.transaction() as connection:
        async for _ in Feedback(connection).for_dataset():
            pass


async def _new_labels(at: Place) -> None:
    async with at.transaction() as connection:
        newest = await Datasets(connection).latest()
        await RetrainEvidence(connection).new_labels(newest)


async def _votes_by_version(at: Place) -> None:
    async with at.transaction() as connection:
        await Feedback(connection).by_version(datetime.now(UTC) - timedelta(hours=1))


async def _monitor_round(at: Place) -> None:
    await at.monitor.take(at.pool)


async def _monitor_sources(at: Place) -> None:
    async with at.transaction() as connection:
        now = datetime.now(UTC)
        await largest_source_shares(
            connection, {name: now - length for name, length in _WINDOWS.items()}
        )


# Keeping and forgetting.


async def _make_client(at: Place) -> None:
    """Forty texts of half a year, four votes."""
    client = f"web-{secrets.token_hex(16)}"
    begin = datetime.now(UTC) - timedelta(days=3)
    rows = [
        a_prediction(
            begin - timedelta(days=4 * number),
            text=secrets.token_hex(30),
            client=client,
            text_hash=secrets.token_bytes(32),
        )
        for number in range(40)
    ]
    async with at.transaction() as connection:
        await Predictions(connection).copy_in(rows)
        await Feedback(connection).record([a_vote(row) for row in rows[::10]])
    at.recent[-1] = rows[-1]


async def _erase_client(at: Place) -> None:
    async with at.transaction() as connection:
        erased = await Predictions(connection).erase_client(at.recent[-1].client)
        assert (erased.predictions, erased.feedback) == (40, 4)


async def _make_old_month(at: Place) -> None:
    rows = [
        a_prediction(_OLD + timedelta(minutes=40 * number), text_hash=secrets.token_bytes(32))
        for number in range(_OLD_ROWS)
    ]
    async with at.transaction() as connection:
        await Predictions(connection).copy_in(rows)
        await Feedback(connection).record([a_vote(row) for row in rows[::25]])


async def _drop_old_month(at: Place) -> None:
    async with at.transaction() as connection:
        dropped = await Predictions(connection).drop_before(_OLD + timedelta(days=40))
        assert len(dropped) == 1


async def _housekeeping(at: Place) -> None:
    async with at.pool.acquire() as connection:
        await maintain(connection, now=datetime.now(UTC), limit=None)


def _batch(_: Place) -> float:
    return BATCH


def _some_votes(_: Place) -> float:
    return _VOTES


OPERATIONS = (
    Operation("insert", _insert, repeat=1, per=_batch, unit="answer"),
    Operation("monitor: one increment", _monitor_round, repeat=1, unit="round"),
    Operation("vote", _vote, repeat=1, per=_some_votes, unit="vote"),
    Operation("change of a vote", _change_vote, repeat=1, per=_some_votes, unit="vote"),
    Operation("vote taken back", _withdraw, repeat=1, per=_some_votes, unit="vote"),
    Operation("look-up of a recent answer", _look_up_recent, repeat=20),
    Operation("look-up of any answer", _look_up_any, repeat=20),
    Operation("own answers of a newcomer", _history_of_newcomer, repeat=10),
    Operation("own answers of a visitor", _history_of_visitor, repeat=10),
    Operation("own answers of a busy program", _history_of_program, repeat=10),
    Operation("own answers, page 31", _history_deep, repeat=10),
    Operation("similar texts", _similar, repeat=1),
    Operation("overview, first time", _overview_first, repeat=1),
    Operation("inbox", _inbox(InboxFilter()), repeat=5),
    Operation("inbox, page 5", _inbox(InboxFilter(), deep=True), repeat=5),
    Operation("inbox of new votes", _inbox(InboxFilter(review=Review.NEW)), repeat=5),
    Operation("inbox of set right votes", _inbox(InboxFilter(review=Review.CORRECTED)), repeat=2),
    Operation("inbox of a label", _inbox(InboxFilter(label="neutral")), repeat=2),
    Operation("inbox of an older version", _inbox(InboxFilter(model_version="?")), repeat=1),
    Operation("inbox of what contradicts", _inbox(InboxFilter(disagreement=True)), repeat=1),
    Operation("inbox of a client", _inbox(InboxFilter(client="?")), repeat=1),
    Operation("inbox of a source nobody used", _inbox(InboxFilter(source="?")), repeat=1),
    Operation("inbox's counts", _inbox_counts, repeat=2),
    Operation("sources of votes", _sources, repeat=1),
    Operation("labelling queue", _queue_page, repeat=3),
    Operation("filling the labelling queue", _queue_fill, repeat=1),
    Operation("agreement of annotators", _agreement, repeat=1),
    Operation("lineage", _lineage, repeat=2),
    Operation("rows of a dataset, and a search", _dataset_rows, repeat=2),
    Operation("answers of a day", _answered_today, repeat=3),
    Operation("preview of a retention", _retention_preview, repeat=1),
    Operation(
        "votes for a dataset",
        _votes_for_dataset,
        repeat=1,
        per=lambda at: at.votes / 1000,
        unit="1,000 votes",
    ),
    Operation(
        "new labels",
        _new_labels,
        repeat=1,
        per=lambda at: max(at.new_votes, 1) / 1000,
        unit="1,000 new votes",
    ),
    Operation("votes by version of an hour", _votes_by_version, repeat=3),
    Operation(
        "monitor: shares of sources",
        _monitor_sources,
        repeat=1,
        per=lambda at: max(at.window_votes, 1) / 1000,
        unit="1,000 votes of four weeks",
    ),
    Operation("erasure of a client", _erase_client, repeat=1, before=_make_client, unit="client"),
    Operation("end of a month", _drop_old_month, repeat=1, before=_make_old_month, unit="month"),
    Operation("hourly housekeeping", _housekeeping, repeat=1),
)


def named(wanted: list[str]) -> Iterator[Operation]:
    """Those whose name holds one of these words, and the inserts that others need; all where none is wanted."""
    for one in OPERATIONS:
        if not wanted or one.name == "insert" or any(word in one.name for word in wanted):
            yield one
