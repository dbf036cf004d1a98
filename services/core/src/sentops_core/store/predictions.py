"""The predictions table: written in batches, read by client, kept by month, erased by client."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sentops_core.domain.fast_path import AnswerPath
from sentops_core.store.pool import Connection


@dataclass(frozen=True)
class PredictionRow:
    """One answered text. `id` is a UUIDv7 and `created_at` its own timestamp (see `moment_of`)."""

    id: UUID
    created_at: datetime
    client: str
    text: str | None
    text_hash: bytes
    label: str
    score: float
    scores: dict[str, float]
    language: str | None
    truncated: bool
    variant: str
    model_version: str
    digest: str
    shadow: bool = False
    path: AnswerPath | None = None


@dataclass(frozen=True)
class Erasure:
    """What an erasure changed; `dataset_versions` are those built from an erased row."""

    predictions: int
    feedback: int
    examples: int
    dataset_versions: tuple[str, ...]


_COLUMNS = tuple(field.name for field in fields(PredictionRow))

# Kept by the session, empty after each commit: COPY cannot skip rows that are there already.
_INCOMING = """
CREATE TEMP TABLE IF NOT EXISTS incoming_predictions (LIKE predictions INCLUDING DEFAULTS)
    ON COMMIT DELETE ROWS
"""
_MOVE_IN = """
WITH moved AS (
    INSERT INTO predictions (id, created_at, client, text, text_hash, label, score, scores, language,
                             truncated, variant, model_version, digest, shadow, path)
    SELECT id, created_at, client, text, text_hash, label, score, scores, language,
           truncated, variant, model_version, digest, shadow, path
      FROM incoming_predictions
        ON CONFLICT (created_at, id) DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM moved
"""
_EMPTY_INCOMING = "TRUNCATE incoming_predictions"
_GET = """
SELECT id, created_at, client, text, text_hash, label, score, scores, language,
       truncated, variant, model_version, digest, shadow, path
  FROM predictions
 WHERE created_at = $1 AND id = $2
"""
_RECENT = """
SELECT id, created_at, client, text, text_hash, label, score, scores, language,
       truncated, variant, model_version, digest, shadow, path
  FROM predictions
 WHERE client = $1 AND (created_at, id) < ($2, $3) AND created_at >= $4 AND created_at <= $2 AND NOT shadow
 ORDER BY created_at DESC, id DESC
 LIMIT $5
"""
# A statement of its own: the server plans the one above for its few months each time, and this one once. It does so
# because comparing rows leaves no month out; each one that holds nothing of the client costs a step in an index.
_OLDER = """
SELECT id, created_at, client, text, text_hash, label, score, scores, language,
       truncated, variant, model_version, digest, shadow, path
  FROM predictions
 WHERE client = $1 AND (created_at, id) < ($2, $3) AND NOT shadow
 ORDER BY created_at DESC, id DESC
 LIMIT $4
"""
_ENSURE_MONTH = "SELECT ensure_predictions_month($1)"
# A reader holding a month must not make every later query queue behind our wait for it.
_WAIT_BRIEFLY = "SELECT set_config('lock_timeout', $1, true)"
_DROP_MONTHS = "SELECT drop_predictions_before($1)"
_FIRST_KEPT = "SELECT date_trunc('month', $1::timestamptz, 'UTC')"
_DROP_ORPHANED_FEEDBACK = "DELETE FROM feedback WHERE predicted_at < $1"
_DROP_ORPHANED_WITHDRAWALS = "DELETE FROM withdrawn_votes WHERE predicted_at < $1"
# Dropping a month fires no trigger. Before the votes go, whose trigger does the same: always in this order.
_COUNT_AGAIN = """
INSERT INTO tallies_due AS due (kind, bucket)
SELECT DISTINCT 'answers', bucket FROM answer_tallies WHERE bucket < $1 ORDER BY 2
    ON CONFLICT (kind, bucket) DO UPDATE SET changes = due.changes + 1
"""
# What people decided about a text is kept as a labelled example is; a text that nobody decided about goes.
_DROP_UNDECIDED_ITEMS = """
UPDATE labelling_items
   SET text = NULL, content_hash = NULL, state = 'expired'
 WHERE predicted_at < $1 AND state IN ('open', 'contested', 'dropped') AND gold_label IS NULL
"""

_MARK_VERSIONS = """
UPDATE dataset_versions v
   SET erased_rows = v.erased_rows + built.rows
  FROM (SELECT m.dataset_version, count(*) AS rows
          FROM dataset_members m
          JOIN predictions p ON p.id = m.prediction_id
         WHERE p.client = $1
         GROUP BY m.dataset_version) AS built
 WHERE v.name = built.dataset_version
RETURNING v.name
"""
_ERASE_EXAMPLES = """
WITH erased AS (
    DELETE FROM examples e USING predictions p
     WHERE p.id = e.prediction_id AND p.client = $1
    RETURNING 1
)
SELECT count(*) FROM erased
"""
# Any item with a text that this client wrote, whoever else wrote it too: it may come back with their next one.
_ERASE_LABELLING_ITEMS = """
UPDATE labelling_items i
   SET text = NULL, content_hash = NULL, gold_label = NULL, state = 'expired'
  FROM predictions p
 WHERE p.client = $1 AND i.content_hash = p.text_hash
"""
_FORGET_QUARANTINE = "DELETE FROM quarantined_sources WHERE kind = 'client' AND name = $1"
_FORGET_WITHDRAWALS = "DELETE FROM withdrawn_votes WHERE client = $1"
_ERASE_FEEDBACK = """
WITH erased AS (DELETE FROM feedback WHERE client = $1 RETURNING 1)
SELECT count(*) FROM erased
"""
# The hash could confirm a guessed text and the key links a person's rows, so both go with the text.
_ERASE_PREDICTIONS = """
WITH erased AS (
    UPDATE predictions SET text = NULL, text_hash = '', client = 'erased' WHERE client = $1 RETURNING 1
)
SELECT count(*) FROM erased
"""

_OLDEST, _NEWEST = UUID(int=0), UUID(int=2**128 - 1)
_END = datetime.max.replace(tzinfo=UTC)
_LOOK_BACK = timedelta(days=31)


def moment_of(prediction_id: UUID) -> datetime:
    """The millisecond in which a UUIDv7 was made: a prediction's `created_at`."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=prediction_id.int >> 80)


class Predictions:
    """The predictions table. Methods that write expect the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def copy_in(self, rows: Sequence[PredictionRow]) -> int:
        """Write a batch; rows that are there already are skipped. The number of new ones.

        A month without a partition gets one, however old or early the row is.
        """
        if not rows:
            return 0
        await self._ensure_months(row.created_at for row in rows)
        await self._connection.execute(_INCOMING)
        await self._connection.copy_records_to_table(
            "incoming_predictions", records=[_record(row) for row in rows], columns=_COLUMNS
        )
        moved: int = await self._connection.fetchval(_MOVE_IN)
        await self._connection.execute(_EMPTY_INCOMING)
        return moved

    async def get(self, prediction_id: UUID, created_at: datetime) -> PredictionRow | None:
        row = await self._connection.fetchrow(_GET, created_at, prediction_id)
        return None if row is None else PredictionRow(**row)

    async def recent(
        self, client: str, *, before: UUID | None = None, limit: int = 50
    ) -> list[PredictionRow]:
        """A client's predictions, newest first; `before` is the last id of the page already seen."""
        last = _NEWEST if before is None else before
        moment = _END if before is None else moment_of(before)
        # Mostly the page is full before the older months are looked at, of which each would cost a little.
        floor = min(moment, datetime.now(UTC)) - _LOOK_BACK
        rows = await self._connection.fetch(_RECENT, client, moment, last, floor, limit)
        if len(rows) < limit:
            missing = limit - len(rows)
            rows += await self._connection.fetch(_OLDER, client, floor, _OLDEST, missing)
        return [PredictionRow(**row) for row in rows]

    async def ensure_partitions(self, now: datetime, *, ahead_months: int = 2) -> list[str]:
        """Partitions for this month and the next ones, before rows ask for them; the new names."""
        return await self._ensure_months(_months_from(now, ahead_months + 1))

    async def drop_before(
        self, moment: datetime, *, wait: timedelta = timedelta(seconds=2)
    ) -> list[str]:
        """Drop the months that lie wholly before the moment, and the votes on them; the dropped names.

        asyncpg.LockNotAvailableError when a reader holds such a month longer than `wait`: try again later.
        """
        await self._connection.execute(_WAIT_BRIEFLY, f"{wait // timedelta(milliseconds=1)}ms")
        dropped = [row[0] for row in await self._connection.fetch(_DROP_MONTHS, moment)]
        first_kept = await self._connection.fetchval(_FIRST_KEPT, moment)
        if dropped:
            await self._connection.execute(_COUNT_AGAIN, first_kept)
        await self._connection.execute(_DROP_ORPHANED_FEEDBACK, first_kept)
        await self._connection.execute(_DROP_ORPHANED_WITHDRAWALS, first_kept)
        await self._connection.execute(_DROP_UNDECIDED_ITEMS, first_kept)
        return dropped

    async def erase_client(self, client: str) -> Erasure:
        """Forget a client: its texts, key, votes and the examples made of them. Repeating it changes nothing.

        Labels and scores stay as anonymous statistics; dataset versions built from the rows are marked.
        """
        versions = await self._connection.fetch(_MARK_VERSIONS, client)
        await self._connection.execute(_ERASE_LABELLING_ITEMS, client)
        await self._connection.execute(_FORGET_QUARANTINE, client)
        await self._connection.execute(_FORGET_WITHDRAWALS, client)
        return Erasure(
            dataset_versions=tuple(sorted(row["name"] for row in versions)),
            examples=await self._connection.fetchval(_ERASE_EXAMPLES, client),
            feedback=await self._connection.fetchval(_ERASE_FEEDBACK, client),
            predictions=await self._connection.fetchval(_ERASE_PREDICTIONS, client),
        )

    async def _ensure_months(self, moments: Iterable[datetime]) -> list[str]:
        in_utc = (moment.astimezone(UTC) for moment in moments)
        months = {(moment.year, moment.month) for moment in in_utc}
        made = []
        for year, month in sorted(months):
            made.append(
                await self._connection.fetchval(_ENSURE_MONTH, datetime(year, month, 1, tzinfo=UTC))
            )
        return [name for name in made if name is not None]


def _record(row: PredictionRow) -> tuple[object, ...]:
    return tuple(getattr(row, name) for name in _COLUMNS)


def _months_from(now: datetime, count: int) -> list[datetime]:
    first = now.astimezone(UTC)
    numbers = (first.year * 12 + first.month - 1 + step for step in range(count))
    return [datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC) for number in numbers]
