"""The feedback table: one client's last vote on one prediction, however and whenever it arrives."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sentops_core.store.pool import Connection


@dataclass(frozen=True)
class FeedbackRow:
    """`vote_id` is a UUIDv7: the greater one is newer. `predicted_at` is the prediction's `created_at`."""

    prediction_id: UUID
    client: str
    label: str
    vote_id: UUID
    voted_at: datetime
    predicted_at: datetime
    note: str | None = None
    source: str = "web"


@dataclass(frozen=True)
class Withdrawal:
    """One client takes its vote on one prediction back: what is older than `withdrawal_id` (UUIDv7) counts no more."""

    prediction_id: UUID
    client: str
    withdrawal_id: UUID
    withdrawn_at: datetime
    predicted_at: datetime


@dataclass(frozen=True)
class VotedText:
    """A vote with the text it is about: a correction, or a confirmation when the labels are equal.

    `reviewed_by` is who of the staff let the vote stand, or set its label right.
    """

    prediction_id: UUID
    client: str
    text: str
    label: str
    predicted_label: str
    language: str | None
    note: str | None
    source: str
    vote_id: UUID
    voted_at: datetime
    predicted_at: datetime
    model_version: str
    reviewed_by: str | None = None


@dataclass(frozen=True)
class VersionVotes:
    """`right` of `votes` said what the version had said."""

    model_version: str
    votes: int
    right: int


# A vote and its withdrawal may come by two programs at once: whoever takes back waits for those who vote, and they for it.
# Taken before the statements, so that each sees what the other has committed.
_VOTING = "SELECT pg_advisory_xact_lock_shared(hashtext('sentops.votes'))"
_WITHDRAWING = "SELECT pg_advisory_xact_lock(hashtext('sentops.votes'))"
_REMEMBER_WITHDRAWALS = """
INSERT INTO withdrawn_votes (prediction_id, client, withdrawal_id, withdrawn_at, predicted_at)
SELECT DISTINCT ON (prediction_id, client)
       prediction_id, client, withdrawal_id, withdrawn_at, predicted_at
  FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::timestamptz[], $5::timestamptz[])
       AS taken (prediction_id, client, withdrawal_id, withdrawn_at, predicted_at)
 ORDER BY prediction_id, client, withdrawal_id DESC
    ON CONFLICT (prediction_id, client) DO UPDATE
       SET withdrawal_id = EXCLUDED.withdrawal_id, withdrawn_at = EXCLUDED.withdrawn_at
     WHERE withdrawn_votes.withdrawal_id < EXCLUDED.withdrawal_id
"""
_REMOVE_WITHDRAWN = """
DELETE FROM feedback f
 USING unnest($1::uuid[], $2::text[], $3::uuid[]) AS taken (prediction_id, client, withdrawal_id)
 WHERE f.prediction_id = taken.prediction_id AND f.client = taken.client AND f.vote_id < taken.withdrawal_id
"""
# Of one batch only the newest vote per key is offered: one statement may touch a row once.
_UPSERT = """
WITH changed AS (
    INSERT INTO feedback (prediction_id, client, label, note, vote_id, voted_at, predicted_at, source)
    SELECT DISTINCT ON (prediction_id, client)
           prediction_id, client, label, note, vote_id, voted_at, predicted_at, source
      FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::timestamptz[],
                  $7::timestamptz[], $8::text[])
           AS vote (prediction_id, client, label, note, vote_id, voted_at, predicted_at, source)
     WHERE NOT EXISTS (
               SELECT
                 FROM withdrawn_votes w
                WHERE w.prediction_id = vote.prediction_id AND w.client = vote.client
                  AND w.withdrawal_id > vote.vote_id
           )
     ORDER BY prediction_id, client, vote_id DESC
        ON CONFLICT (prediction_id, client) DO UPDATE
           SET label = EXCLUDED.label, note = EXCLUDED.note, vote_id = EXCLUDED.vote_id,
               voted_at = EXCLUDED.voted_at, predicted_at = EXCLUDED.predicted_at,
               source = EXCLUDED.source, status = 'new', corrected_label = NULL, reviewed_by = NULL,
               reviewed_at = NULL
         WHERE feedback.vote_id < EXCLUDED.vote_id
    RETURNING 1
)
SELECT count(*) FROM changed
"""
# LATERAL and OFFSET 0: each by its key, for a program can have given more votes than anybody thinks.
_OF_CLIENT = """
SELECT f.prediction_id, f.client, f.label, f.vote_id, f.voted_at, f.predicted_at, f.note, f.source
  FROM unnest($2::uuid[]) AS wanted (prediction_id)
 CROSS JOIN LATERAL (
           SELECT *
             FROM feedback
            WHERE feedback.prediction_id = wanted.prediction_id AND feedback.client = $1
           OFFSET 0
       ) AS f
"""
_OF_PREDICTION = """
SELECT prediction_id, client, label, vote_id, voted_at, predicted_at, note, source
  FROM feedback
 WHERE prediction_id = $1
 ORDER BY vote_id
"""
# Which votes count, and as what, is the view counted_votes'.
# Equality on created_at as well as on id leads each row to its one partition. LATERAL and OFFSET 0: in the order of the
# votes, so that the cursor has its next thousand at once, and not after sorting the votes of years.
_FOR_DATASET = """
SELECT v.prediction_id, v.client, p.text, v.label, p.predicted_label, p.language, v.note, v.source, v.vote_id,
       v.voted_at, v.predicted_at, p.model_version, v.reviewed_by
  FROM counted_votes v
 CROSS JOIN LATERAL (
           SELECT p.text, p.label AS predicted_label, p.language, p.model_version
             FROM predictions p
            WHERE p.created_at = v.predicted_at AND p.id = v.prediction_id AND p.text IS NOT NULL
           OFFSET 0
       ) AS p
 WHERE v.voted_at > $1
 ORDER BY v.voted_at, v.vote_id
"""
# A vote is never older than its prediction, so the bound on voted_at loses nothing and uses its index.
_BY_VERSION = """
SELECT p.model_version, count(*) AS votes, count(*) FILTER (WHERE v.label = p.label) AS "right"
  FROM counted_votes v
  JOIN predictions p ON p.created_at = v.predicted_at AND p.id = v.prediction_id
 WHERE v.voted_at >= $1 AND v.predicted_at >= $1 AND p.created_at >= $1
   AND NOT p.shadow
 GROUP BY p.model_version
 ORDER BY p.model_version
"""
_COUNT_SINCE = "SELECT count(*) FROM counted_votes WHERE voted_at > $1"

_EVER = datetime(1970, 1, 1, tzinfo=UTC)


class Feedback:
    """The feedback table. Methods that write expect the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def record(
        self, votes: Sequence[FeedbackRow], withdrawals: Sequence[Withdrawal] = ()
    ) -> None:
        """Votes and withdrawals in any order, any number of times: each client's newest word stands."""
        if withdrawals:
            await self._connection.execute(_WITHDRAWING)  # first: a shared lock cannot grow
            predictions = [taken.prediction_id for taken in withdrawals]
            clients = [taken.client for taken in withdrawals]
            identities = [taken.withdrawal_id for taken in withdrawals]
            await self._connection.execute(
                _REMEMBER_WITHDRAWALS,
                predictions,
                clients,
                identities,
                [taken.withdrawn_at for taken in withdrawals],
                [taken.predicted_at for taken in withdrawals],
            )
            await self._connection.execute(_REMOVE_WITHDRAWN, predictions, clients, identities)
        await self.upsert_many(votes)

    async def upsert_many(self, votes: Sequence[FeedbackRow]) -> int:
        """Store votes in any order, any number of times: the newest of each client stands. Rows changed."""
        if not votes:
            return 0
        await self._connection.execute(_VOTING)
        changed: int = await self._connection.fetchval(
            _UPSERT,
            [vote.prediction_id for vote in votes],
            [vote.client for vote in votes],
            [vote.label for vote in votes],
            [vote.note for vote in votes],
            [vote.vote_id for vote in votes],
            [vote.voted_at for vote in votes],
            [vote.predicted_at for vote in votes],
            [vote.source for vote in votes],
        )
        return changed

    async def of_client(
        self, client: str, prediction_ids: Sequence[UUID]
    ) -> dict[UUID, FeedbackRow]:
        """This client's votes on these predictions; those without a vote are absent."""
        rows = await self._connection.fetch(_OF_CLIENT, client, prediction_ids)
        return {row["prediction_id"]: FeedbackRow(**row) for row in rows}

    async def of_prediction(self, prediction_id: UUID) -> list[FeedbackRow]:
        rows = await self._connection.fetch(_OF_PREDICTION, prediction_id)
        return [FeedbackRow(**row) for row in rows]

    async def for_dataset(self, *, since: datetime | None = None) -> AsyncIterator[VotedText]:
        """Corrections and confirmations, oldest first, of `since` or of all time; needs a transaction.

        `since` looks at the vote's own time: one that waited in a spool can arrive later than newer ones.

        Left out: refused votes unless staff said what would be right, votes of quarantined sources, and
        predictions whose text was erased or has passed its retention.
        """
        async for row in self._connection.cursor(_FOR_DATASET, since or _EVER, prefetch=1000):
            yield VotedText(**row)

    async def count_since(self, moment: datetime) -> int:
        count: int = await self._connection.fetchval(_COUNT_SINCE, moment)
        return count

    async def by_version(self, since: datetime) -> list[VersionVotes]:
        """Votes that count on predictions made since then, by version; versions without votes are absent."""
        rows = await self._connection.fetch(_BY_VERSION, since)
        return [VersionVotes(**row) for row in rows]
