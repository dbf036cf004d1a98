"""Where the labelling queue gets its texts: recent predictions and votes, each question answered by an index."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sentops_core.store.pool import Connection


@dataclass(frozen=True)
class FoundText:
    """An answer whose text may be worth a label."""

    prediction_id: UUID
    predicted_at: datetime
    text: str
    text_hash: bytes
    language: str | None
    label: str
    score: float
    scores: dict[str, float]
    model_version: str
    candidate_label: str | None = None
    candidate_version: str | None = None
    votes_for: int = 0
    votes_against: int = 0


@dataclass(frozen=True)
class NewItem:
    """A text for the queue; `reason` and `value` as sentops_core.domain.labelling says."""

    found: FoundText
    reason: str
    value: float
    drawn: bool


# The first condition is that of the index, word for word.
_UNCERTAIN = """
SELECT p.id AS prediction_id, p.created_at AS predicted_at, p.text, p.text_hash, p.language, p.label, p.score,
       p.scores, p.model_version
  FROM predictions p
 WHERE p.score < 0.8 AND NOT p.shadow AND p.text IS NOT NULL
   AND p.created_at >= $1
   AND NOT EXISTS (SELECT FROM labelling_items i WHERE i.content_hash = p.text_hash)
   AND NOT EXISTS (SELECT FROM examples e WHERE e.content_hash = p.text_hash)
 ORDER BY p.score
 LIMIT $2
"""
# A shadow's answer is written soon after the champion's, for the same client. LATERAL and OFFSET 0: each is looked up,
# whatever the planner thinks of reading the weeks once.
_DISAGREEMENTS = """
WITH shadows AS (
    SELECT client, created_at, text_hash, label, model_version
      FROM predictions
     WHERE shadow AND created_at >= $1
     ORDER BY created_at DESC
     LIMIT $2
)
SELECT p.id AS prediction_id, p.created_at AS predicted_at, p.text, p.text_hash, p.language, p.label, p.score,
       p.scores, p.model_version, s.label AS candidate_label, s.model_version AS candidate_version
  FROM shadows s
 CROSS JOIN LATERAL (
           SELECT p.id, p.created_at, p.text, p.text_hash, p.language, p.label, p.score, p.scores, p.model_version
             FROM predictions p
            WHERE p.client = s.client AND p.text_hash = s.text_hash
              AND p.created_at BETWEEN s.created_at - interval '10 minutes' AND s.created_at
              AND p.created_at >= $1 AND NOT p.shadow AND p.text IS NOT NULL AND p.label <> s.label
           OFFSET 0
       ) AS p
 WHERE NOT EXISTS (SELECT FROM examples e WHERE e.content_hash = p.text_hash)
"""
_CONTESTED = """
WITH newest AS (
    SELECT prediction_id, predicted_at, label
      FROM counted_votes
     WHERE status = 'new' AND voted_at >= $1
     ORDER BY voted_at DESC
     LIMIT $2
)
SELECT p.id AS prediction_id, p.created_at AS predicted_at, p.text, p.text_hash, p.language, p.label, p.score,
       p.scores, p.model_version,
       count(*) FILTER (WHERE n.label = p.label) AS votes_for,
       count(*) FILTER (WHERE n.label <> p.label) AS votes_against
  FROM newest n
  JOIN predictions p ON p.created_at = n.predicted_at AND p.id = n.prediction_id
 WHERE p.text IS NOT NULL AND NOT p.shadow
 GROUP BY p.created_at, p.id
HAVING bool_or(n.label <> p.label)
"""
# About 300 blocks, some thousands of rows, however large the table is: each row is as likely as any other. Of these
# the texts of the random share: the bound is that of sentops_core.domain.labelling.in_random_share.
_SAMPLED_PERCENT = """
SELECT least(100, 100.0 * 300 / greatest(sum(pg_relation_size(inhrelid)) / current_setting('block_size')::integer, 1))::real
  FROM pg_inherits
 WHERE inhparent = 'predictions'::regclass
"""
_DRAWN = r"""
SELECT p.id AS prediction_id, p.created_at AS predicted_at, p.text, p.text_hash, p.language, p.label, p.score,
       p.scores, p.model_version
  FROM predictions p TABLESAMPLE SYSTEM ($1)
 WHERE p.created_at >= $2 AND NOT p.shadow AND p.text IS NOT NULL
   AND substring(p.text_hash FROM 1 FOR 1) < '\x10'
   AND NOT EXISTS (SELECT FROM labelling_items i WHERE i.content_hash = p.text_hash)
   AND NOT EXISTS (SELECT FROM examples e WHERE e.content_hash = p.text_hash)
 ORDER BY random()
 LIMIT $3
"""
# Looked for before inserting: a conflict would use up a number each time.
_ADD = """
WITH new AS (
    SELECT content_hash, text, language, prediction_id, predicted_at, predicted_label, predicted_score,
           model_version, candidate_label, candidate_version, reason, value, drawn
      FROM unnest($1::bytea[], $2::text[], $3::text[], $4::uuid[], $5::timestamptz[], $6::text[], $7::real[],
                  $8::text[], $9::text[], $10::text[], $11::text[], $12::real[], $13::boolean[])
        AS new (content_hash, text, language, prediction_id, predicted_at, predicted_label, predicted_score,
                model_version, candidate_label, candidate_version, reason, value, drawn)
), risen AS (
    UPDATE labelling_items known
       SET reason = new.reason,
           value = new.value,
           candidate_label = coalesce(new.candidate_label, known.candidate_label),
           candidate_version = coalesce(new.candidate_version, known.candidate_version)
      FROM new
     WHERE known.content_hash = new.content_hash
       AND known.state = 'open' AND NOT known.drawn AND new.value > known.value
    RETURNING 1
), added AS (
    INSERT INTO labelling_items
           (content_hash, text, language, prediction_id, predicted_at, predicted_label, predicted_score,
            model_version, candidate_label, candidate_version, reason, value, drawn)
    SELECT content_hash, text, language, prediction_id, predicted_at, predicted_label, predicted_score,
           model_version, candidate_label, candidate_version, reason, value, drawn
      FROM new
     WHERE NOT EXISTS (SELECT FROM labelling_items known WHERE known.content_hash = new.content_hash)
        ON CONFLICT (content_hash) DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM risen) + (SELECT count(*) FROM added)
"""
# Another process filling just now is as good as this one.
_BEGIN = """
UPDATE labelling_settings
   SET filled_at = $1
 WHERE singleton = (SELECT singleton FROM labelling_settings WHERE filled_at <= $2 FOR UPDATE SKIP LOCKED)
RETURNING true
"""
_FRESH = """
SELECT count(*) AS all_fresh, count(*) FILTER (WHERE drawn) AS drawn
  FROM labelling_items
 WHERE state = 'open' AND opinions = 0
"""
# What the champion of long ago was unsure of says little about today's.
_DROP_STALE = """
DELETE FROM labelling_items i
 WHERE i.predicted_at < $1 AND i.state = 'open' AND i.gold_label IS NULL
   AND NOT EXISTS (SELECT FROM labelling_votes v WHERE v.item = i.id)
   AND NOT EXISTS (SELECT FROM labelling_claims c WHERE c.item = i.id)
"""
_DROP_OLD_CLAIMS = "DELETE FROM labelling_claims WHERE expires_at < $1"


class LabellingFeed:
    """What could be labelled, read from predictions and feedback."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def begin(self, now: datetime, *, every: timedelta) -> bool:
        """Whether it is time to look again, and nobody else does."""
        return bool(await self._connection.fetchval(_BEGIN, now, now - every))

    async def fresh(self) -> tuple[int, int]:
        """Open texts that nobody has labelled yet: all, and those of the random share."""
        row = await self._connection.fetchrow(_FRESH)
        return (row["all_fresh"], row["drawn"]) if row else (0, 0)

    async def uncertain(self, since: datetime, limit: int) -> list[FoundText]:
        """The least sure answers that are neither in the queue nor labelled."""
        return _found(await self._connection.fetch(_UNCERTAIN, since, limit))

    async def disagreements(self, since: datetime, newest: int) -> list[FoundText]:
        """Of the newest answers in the shadow those that differ from the champion's."""
        return _found(await self._connection.fetch(_DISAGREEMENTS, since, newest))

    async def contested(self, since: datetime, newest: int) -> list[FoundText]:
        """Of the newest votes that nobody reviewed those against the answer, with those for it."""
        return _found(await self._connection.fetch(_CONTESTED, since, newest))

    async def drawn(self, since: datetime, limit: int) -> list[FoundText]:
        """A random choice of unlabelled texts of the random share."""
        percent = await self._connection.fetchval(_SAMPLED_PERCENT)
        return _found(await self._connection.fetch(_DRAWN, percent or 100.0, since, limit))

    async def add(self, items: Sequence[NewItem]) -> int:
        """Put them into the queue, one item per text; a known text may become more valuable. Rows changed."""
        unique = {item.found.text_hash: item for item in items}
        if not unique:
            return 0
        rows = [
            (
                item.found.text_hash,
                item.found.text,
                item.found.language,
                item.found.prediction_id,
                item.found.predicted_at,
                item.found.label,
                item.found.score,
                item.found.model_version,
                item.found.candidate_label,
                item.found.candidate_version,
                item.reason,
                item.value,
                item.drawn,
            )
            for item in unique.values()
        ]
        columns = (list(column) for column in zip(*rows, strict=True))
        added: int = await self._connection.fetchval(_ADD, *columns)
        return added

    async def drop_stale(self, before: datetime, now: datetime) -> None:
        """Forget texts that nobody asked about in time, and claims of days ago."""
        await self._connection.execute(_DROP_OLD_CLAIMS, now - timedelta(days=7))
        await self._connection.execute(_DROP_STALE, before)


def _found(rows: Sequence[object]) -> list[FoundText]:
    return [FoundText(**row) for row in rows]  # type: ignore[arg-type]
