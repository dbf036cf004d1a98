"""Votes as staff see them: with text, answer and what is known of the text; and what staff decide about them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from sentops_core.store.pool import Connection

COUNTED_VOTES = 1000  # what is more is not counted further
SCANNED = 1000  # votes that one page looks at, whatever it is asked for

Cursor = tuple[datetime, UUID]


class Review(StrEnum):
    """What became of a vote; CORRECTED is refused in the table, with the right label beside it."""

    NEW = "new"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    CORRECTED = "corrected"


@dataclass(frozen=True)
class InboxFilter:
    """None is any. `disagreement`: whether the vote differs from the answer."""

    review: Review | None = None
    label: str | None = None
    model_version: str | None = None
    disagreement: bool | None = None
    client: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class InboxRow:
    """`text` is None once it was erased; `known_label` is what the labelling queue settled for it."""

    vote_id: UUID
    prediction_id: UUID
    client: str
    source: str
    label: str
    note: str | None
    status: str
    corrected_label: str | None
    reviewed_by: str | None
    reviewed_at: datetime | None
    voted_at: datetime
    text: str | None
    predicted_label: str
    predicted_score: float
    model_version: str
    known_label: str | None
    quarantined: bool

    @property
    def review(self) -> Review:
        corrected = self.status == "refused" and self.corrected_label is not None
        return Review.CORRECTED if corrected else Review(self.status)


@dataclass(frozen=True)
class InboxPage:
    """`older` is where to go on, None at the end. A page can be short, even empty, and not be the last one."""

    rows: tuple[InboxRow, ...]
    older: Cursor | None


@dataclass(frozen=True)
class Reviewed:
    """A vote that was decided about, and what it was before."""

    vote_id: UUID
    prediction_id: UUID
    label: str
    before: str


class JudgedVote(NamedTuple):
    """One of the newest votes, with what is known of its text, for figures of sources.

    A tuple, since thousands are read; its fields are the columns of _JUDGED in their order.
    """

    client: str
    source: str
    text_key: bytes
    label: str
    predicted_label: str
    known_label: str | None
    refused: bool
    voted_at: datetime


# The newest votes by one of their own columns, which an index has in this order: whatever else is asked for, no more
# than these are looked at.
_SCAN = """
SELECT f.vote_id, f.prediction_id, f.client, f.source, f.label, f.note, f.status, f.corrected_label, f.reviewed_by,
       f.reviewed_at, f.voted_at, f.predicted_at
  FROM feedback f
 WHERE (f.voted_at, f.vote_id) < ($1, $2)
"""
_SCAN_ORDER = """
 ORDER BY f.voted_at DESC, f.vote_id DESC
 LIMIT $3
"""
_BY_CLIENT = "   AND f.client = $4"
_BY_SOURCE = "   AND f.source = $4"
_BY_STATUS = "   AND f.status = $4"
_BY_CORRECTION = "   AND f.corrected_label IS NOT NULL AND $4::text IS NULL"
_BY_NOTHING = "   AND $4::text IS NULL"
# LATERAL and OFFSET 0: one look-up per vote in the order of the votes until the page is full, whatever the planner
# thinks of joining everything first.
_SELECT = """
SELECT f.vote_id, f.prediction_id, f.client, f.source, f.label, f.note, f.status, f.corrected_label, f.reviewed_by,
       f.reviewed_at, f.voted_at, p.text, p.predicted_label, p.score AS predicted_score, p.model_version,
       (SELECT i.label FROM labelling_items i WHERE i.content_hash = p.text_hash AND i.state = 'done') AS known_label,
       EXISTS (SELECT FROM quarantined_sources q
                WHERE q.kind = 'client' AND q.name = f.client OR q.kind = 'source' AND q.name = f.source)
           AS quarantined
  FROM ("""
_REST = """) AS f
  CROSS JOIN LATERAL (
           SELECT p.text, p.text_hash, p.label AS predicted_label, p.score, p.model_version
             FROM predictions p
            WHERE p.created_at = f.predicted_at AND p.id = f.prediction_id
           OFFSET 0
       ) AS p
 WHERE ($5::text IS NULL OR f.client = $5)
   AND ($6::text IS NULL OR f.source = $6)
   AND ($7::text IS NULL OR f.status = $7)
   AND ($8::boolean IS NULL OR (f.corrected_label IS NOT NULL) = $8)
   AND ($9::text IS NULL OR f.label = $9)
   AND ($10::text IS NULL OR p.model_version = $10)
   AND ($11::boolean IS NULL OR (f.label <> p.predicted_label) = $11)
 ORDER BY f.voted_at DESC, f.vote_id DESC
 LIMIT $12
"""
# Where the scan ended; nothing if there was no more to look at.
_LAST_SCANNED = ("SELECT voted_at, vote_id FROM (", ") AS f OFFSET $3 - 1")
# Each count ends: a page does not become slower by what nobody looks at.
_COUNTS = """
SELECT (SELECT count(*) FROM (SELECT FROM feedback WHERE status = 'new' LIMIT $1) AS counted) AS new,
       (SELECT count(*) FROM (SELECT FROM feedback WHERE status = 'accepted' LIMIT $1) AS counted) AS accepted,
       (SELECT count(*)
          FROM (SELECT FROM feedback WHERE status = 'refused' AND corrected_label IS NULL LIMIT $1) AS counted) AS refused,
       (SELECT count(*)
          FROM (SELECT FROM feedback WHERE corrected_label IS NOT NULL LIMIT $1) AS counted)
           AS corrected
"""
# From one to the next by the index: a handful of steps, however many votes there are.
_SOURCES = """
WITH RECURSIVE known AS (
    SELECT min(source) AS source, 1 AS place FROM feedback
     UNION ALL
    SELECT (SELECT min(f.source) FROM feedback f WHERE f.source > k.source), k.place + 1
      FROM known k
     WHERE k.source IS NOT NULL AND k.place < 50
)
SELECT source FROM known WHERE source IS NOT NULL ORDER BY source
"""
_VERSIONS = "SELECT name FROM model_versions ORDER BY created_at DESC, version DESC LIMIT 50"
# A vote that its client has replaced has another vote_id: then nobody has decided about what is there now.
_REVIEW = """
WITH before AS (
    SELECT prediction_id, client, vote_id, label, status, corrected_label
      FROM feedback
     WHERE vote_id = ANY ($1::uuid[])
     ORDER BY prediction_id, client
       FOR UPDATE
)
UPDATE feedback f
   SET status = CASE WHEN $3::text IS NULL THEN $2 WHEN f.label = $3 THEN 'accepted' ELSE 'refused' END,
       corrected_label = CASE WHEN f.label = $3 THEN NULL ELSE $3 END,
       reviewed_by = CASE WHEN $2 = 'new' THEN NULL ELSE $4 END,
       reviewed_at = CASE WHEN $2 = 'new' THEN NULL ELSE $5::timestamptz END
  FROM before b
 WHERE f.prediction_id = b.prediction_id AND f.client = b.client
RETURNING f.vote_id, f.prediction_id, f.label,
          CASE WHEN b.status = 'refused' AND b.corrected_label IS NOT NULL THEN 'corrected to ' || b.corrected_label
               ELSE b.status END AS before
"""
_JUDGED = """
WITH newest AS (
    SELECT client, source, prediction_id, predicted_at, label, status, voted_at
      FROM feedback
     WHERE voted_at >= $1
     ORDER BY voted_at DESC
     LIMIT $2
)
SELECT n.client, n.source, p.text_hash AS text_key, n.label, p.predicted_label, i.label AS known_label,
       n.status = 'refused' AS refused, n.voted_at
  FROM newest n
  CROSS JOIN LATERAL (
           SELECT p.text_hash, p.label AS predicted_label
             FROM predictions p
            WHERE p.created_at = n.predicted_at AND p.id = n.prediction_id
           OFFSET 0
       ) AS p
  LEFT JOIN labelling_items i ON i.content_hash = p.text_hash AND i.state = 'done'
"""
_NEWEST = (datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1))


class FeedbackInbox:
    """The feedback table, for people who judge votes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def page(
        self, wanted: InboxFilter, *, before: Cursor | None = None, limit: int = 100
    ) -> InboxPage:
        """Newest first; `before` is where an earlier page says that it goes on."""
        status, corrected = _stored(wanted.review)
        clause, value = _narrowing(wanted)
        scan = _SCAN + clause + _SCAN_ORDER
        scanned = (*(before or _NEWEST), SCANNED, value)
        rows = await self._connection.fetch(
            _SELECT + scan + _REST,
            *scanned,
            wanted.client,
            wanted.source,
            status,
            corrected,
            wanted.label,
            wanted.model_version,
            wanted.disagreement,
            limit,
        )
        found = tuple(InboxRow(**row) for row in rows)
        if len(found) == limit:
            return InboxPage(found, (found[-1].voted_at, found[-1].vote_id))
        head, tail = _LAST_SCANNED
        last = await self._connection.fetchrow(head + scan + tail, *scanned)
        return InboxPage(found, None if last is None else (last["voted_at"], last["vote_id"]))

    async def counts(self) -> dict[Review, int]:
        """Up to COUNTED_VOTES of each."""
        row = await self._connection.fetchrow(_COUNTS, COUNTED_VOTES)
        assert row is not None  # noqa: S101 - a SELECT without FROM gives a row
        return {review: row[review] for review in Review}

    async def sources(self) -> list[str]:
        """The ways in that votes came by."""
        return [row["source"] for row in await self._connection.fetch(_SOURCES)]

    async def versions(self) -> list[str]:
        """Names of model versions, the newest first."""
        return [row["name"] for row in await self._connection.fetch(_VERSIONS)]

    async def review(
        self, vote_ids: Sequence[UUID], review: Review, *, label: str | None, by: str, at: datetime
    ) -> list[Reviewed]:
        """Decide about votes; those that their clients have replaced meanwhile are not among the answer.

        `label` goes with CORRECTED alone; a vote that says just this is accepted.
        """
        status = Review.REFUSED if review is Review.CORRECTED else review
        right = label if review is Review.CORRECTED else None
        rows = await self._connection.fetch(_REVIEW, vote_ids, status, right, by, at)
        return [Reviewed(**row) for row in rows]

    async def judged(self, since: datetime, newest: int) -> list[JudgedVote]:
        rows = await self._connection.fetch(_JUDGED, since, newest)
        return [JudgedVote(*row) for row in rows]


def _stored(review: Review | None) -> tuple[str | None, bool | None]:
    """Status, and whether a corrected label stands beside it."""
    if review is None:
        return None, None
    if review is Review.CORRECTED:
        return Review.REFUSED, True
    return review, False if review is Review.REFUSED else None


def _narrowing(wanted: InboxFilter) -> tuple[str, str | None]:
    """The condition that leaves the fewest votes to look at, of those that an index serves; and its value."""
    if wanted.client is not None:
        return _BY_CLIENT, wanted.client
    if wanted.review is Review.CORRECTED:
        return _BY_CORRECTION, None
    if wanted.source is not None:
        return _BY_SOURCE, wanted.source
    if wanted.review is not None:
        return _BY_STATUS, wanted.review
    return _BY_NOTHING, None
