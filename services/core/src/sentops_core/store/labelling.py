"""The labelling queue's tables: items, who has which, what annotators said, how the queue works."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from sentops_core.domain.errors import NotFound
from sentops_core.domain.labelling import Lane, Outcome, Reason, State
from sentops_core.store.pool import Connection


@dataclass(frozen=True)
class LabellingSettings:
    """`opinions` annotators label each text; shares are of an annotator's turns."""

    opinions: int
    random_share: float
    gold_share: float
    claim_minutes: int


@dataclass(frozen=True)
class ItemRow:
    """One text; everything but `text` and `language` is kept from annotators until they have labelled it."""

    id: int
    text: str | None
    language: str | None
    prediction_id: UUID | None
    predicted_label: str | None
    predicted_score: float | None
    model_version: str | None
    candidate_label: str | None
    candidate_version: str | None
    reason: Reason
    drawn: bool
    value: float
    state: State
    opinions: int
    label: str | None
    decided_by: str | None
    decided_at: datetime | None
    gold_label: str | None
    gold_at: datetime | None
    created_at: datetime


@dataclass(frozen=True)
class VoteRow:
    """`label` is None for a skip."""

    item: int
    annotator: str
    label: str | None
    note: str | None
    voted_at: datetime


@dataclass(frozen=True)
class OwnVote(VoteRow):
    """A vote with its text, for the one who gave it."""

    text: str | None
    predicted_label: str | None


_SETTINGS = "SELECT opinions, random_share, gold_share, claim_minutes FROM labelling_settings"
_CHANGE_SETTINGS = """
UPDATE labelling_settings SET opinions = $1, random_share = $2, gold_share = $3, claim_minutes = $4
"""
_ITEM = """
SELECT id, text, language, prediction_id, predicted_label, predicted_score, model_version, candidate_label,
       candidate_version, reason, drawn, value, state, opinions, label, decided_by, decided_at, gold_label, gold_at,
       created_at
  FROM labelling_items
 WHERE id = $1
"""
_LOCKED_ITEM = _ITEM + " FOR UPDATE"
_ITEM_WITH_TEXT = """
SELECT id FROM labelling_items WHERE content_hash = $1 FOR UPDATE
"""
# No locks here: a claim is made sure of one by one, see _CLAIM.
_NEXT_BY_VALUE = """
SELECT i.id, i.text, i.language, i.prediction_id, i.predicted_label, i.predicted_score, i.model_version,
       i.candidate_label, i.candidate_version, i.reason, i.drawn, i.value, i.state, i.opinions, i.label,
       i.decided_by, i.decided_at, i.gold_label, i.gold_at, i.created_at
  FROM labelling_items i
 WHERE i.state = 'open' AND NOT i.drawn
   AND NOT EXISTS (SELECT FROM labelling_votes v WHERE v.item = i.id AND v.annotator = $1)
   AND i.opinions + (SELECT count(*) FROM labelling_claims c
                      WHERE c.item = i.id AND c.annotator <> $1 AND c.expires_at > $2) < $3
 ORDER BY (i.opinions > 0) DESC, i.value DESC, i.id
 LIMIT $4
"""
_NEXT_DRAWN = """
SELECT i.id, i.text, i.language, i.prediction_id, i.predicted_label, i.predicted_score, i.model_version,
       i.candidate_label, i.candidate_version, i.reason, i.drawn, i.value, i.state, i.opinions, i.label,
       i.decided_by, i.decided_at, i.gold_label, i.gold_at, i.created_at
  FROM labelling_items i
 WHERE i.state = 'open' AND i.drawn
   AND NOT EXISTS (SELECT FROM labelling_votes v WHERE v.item = i.id AND v.annotator = $1)
   AND i.opinions + (SELECT count(*) FROM labelling_claims c
                      WHERE c.item = i.id AND c.annotator <> $1 AND c.expires_at > $2) < $3
 ORDER BY (i.opinions > 0) DESC, i.content_hash
 LIMIT $4
"""
_NEXT_GOLD = """
SELECT i.id, i.text, i.language, i.prediction_id, i.predicted_label, i.predicted_score, i.model_version,
       i.candidate_label, i.candidate_version, i.reason, i.drawn, i.value, i.state, i.opinions, i.label,
       i.decided_by, i.decided_at, i.gold_label, i.gold_at, i.created_at
  FROM labelling_items i
 WHERE i.gold_label IS NOT NULL AND i.text IS NOT NULL
   AND NOT EXISTS (SELECT FROM labelling_votes v WHERE v.item = i.id AND v.annotator = $1)
 ORDER BY i.id
 LIMIT $2
"""
# Asked while the item is locked: what others hold cannot change meanwhile.
_CLAIM = """
INSERT INTO labelling_claims (item, annotator, expires_at)
SELECT i.id, $2, $3
  FROM labelling_items i
 WHERE i.id = $1 AND i.text IS NOT NULL
   AND (i.gold_label IS NOT NULL
        OR i.state = 'open'
           AND i.opinions + (SELECT count(*) FROM labelling_claims c
                              WHERE c.item = i.id AND c.annotator <> $2 AND c.expires_at > $4) < $5)
    ON CONFLICT (item, annotator) DO UPDATE SET expires_at = EXCLUDED.expires_at
RETURNING item
"""
_HOLD = """
INSERT INTO labelling_claims (item, annotator, expires_at)
VALUES ($1, $2, $3)
    ON CONFLICT (item, annotator) DO UPDATE SET expires_at = EXCLUDED.expires_at
"""
_RELEASE = "DELETE FROM labelling_claims WHERE item = $1 AND annotator = $2"
_HELD = """
SELECT c.item
  FROM labelling_claims c
  JOIN labelling_items i ON i.id = c.item
 WHERE c.annotator = $1 AND c.expires_at > $2 AND i.text IS NOT NULL
   AND NOT EXISTS (SELECT FROM labelling_votes v WHERE v.item = c.item AND v.annotator = $1)
 ORDER BY c.expires_at DESC
 LIMIT 1
"""
_CLAIMED_UNTIL = "SELECT expires_at FROM labelling_claims WHERE item = $1 AND annotator = $2"
_VOTES = """
SELECT item, annotator, label, note, voted_at FROM labelling_votes WHERE item = $1 ORDER BY voted_at, annotator
"""
_KEEP_VOTE = """
INSERT INTO labelling_votes (item, annotator, label, note, voted_at)
VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (item, annotator) DO UPDATE
       SET label = EXCLUDED.label, note = EXCLUDED.note, voted_at = EXCLUDED.voted_at
"""
_DROP_VOTE = "DELETE FROM labelling_votes WHERE item = $1 AND annotator = $2"
_TURNS = "SELECT count(*) FROM labelling_votes WHERE annotator = $1"
_OWN = """
SELECT v.item, v.annotator, v.label, v.note, v.voted_at, i.text, i.predicted_label
  FROM labelling_votes v
  JOIN labelling_items i ON i.id = v.item
 WHERE v.annotator = $1 AND (v.voted_at, v.item) < ($2, $3)
 ORDER BY v.voted_at DESC, v.item DESC
 LIMIT $4
"""
_SETTLE = """
UPDATE labelling_items
   SET state = $2, label = $3, decided_by = $4, decided_at = $5, opinions = $6
 WHERE id = $1
"""
_SETTLE_ENOUGH = """
UPDATE labelling_items i
   SET state = 'done', decided_at = $2,
       label = (SELECT min(v.label) FROM labelling_votes v WHERE v.item = i.id AND v.label IS NOT NULL)
 WHERE i.state = 'open' AND i.opinions >= $1
RETURNING i.id
"""
_MARK_GOLD = "UPDATE labelling_items SET gold_label = $2, gold_at = $3 WHERE id = $1"
_WRITE = """
INSERT INTO labelling_items (content_hash, text, language, reason, value)
VALUES ($1, $2, $3, 'given', 0)
RETURNING id
"""
_LIST = """
SELECT id, text, language, prediction_id, predicted_label, predicted_score, model_version, candidate_label,
       candidate_version, reason, drawn, value, state, opinions, label, decided_by, decided_at, gold_label, gold_at,
       created_at
  FROM labelling_items
 WHERE state = $1 AND id < $2
 ORDER BY id DESC
 LIMIT $3
"""
_LIST_GOLD = """
SELECT id, text, language, prediction_id, predicted_label, predicted_score, model_version, candidate_label,
       candidate_version, reason, drawn, value, state, opinions, label, decided_by, decided_at, gold_label, gold_at,
       created_at
  FROM labelling_items
 WHERE gold_label IS NOT NULL AND id < $1
 ORDER BY id DESC
 LIMIT $2
"""
_LAST_ID = 2**63 - 1


class Labelling:
    """Methods that write expect the caller's transaction, and the item locked by `locked`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def settings(self) -> LabellingSettings:
        row = await self._connection.fetchrow(_SETTINGS)
        assert row is not None  # noqa: S101 - the migration made the one row
        return LabellingSettings(**row)

    async def change_settings(self, settings: LabellingSettings) -> None:
        await self._connection.execute(
            _CHANGE_SETTINGS,
            settings.opinions,
            settings.random_share,
            settings.gold_share,
            settings.claim_minutes,
        )

    async def item(self, item_id: int) -> ItemRow:
        return await self._one(_ITEM, item_id)

    async def locked(self, item_id: int) -> ItemRow:
        """The item, for this transaction alone."""
        return await self._one(_LOCKED_ITEM, item_id)

    async def _one(self, statement: str, item_id: int) -> ItemRow:
        row = await self._connection.fetchrow(statement, min(item_id, _LAST_ID))
        if row is None:
            raise NotFound(
                f"There is no text {item_id} in the queue.",
                saying="no_queued_text",
                facts={"id": item_id},
            )
        return _item(row)

    async def with_text(self, content_hash: bytes) -> int | None:
        """The id of the item with this text, locked."""
        found: int | None = await self._connection.fetchval(_ITEM_WITH_TEXT, content_hash)
        return found

    async def write(self, content_hash: bytes, text: str, language: str | None) -> int:
        """A text that no prediction brought; its id."""
        made: int = await self._connection.fetchval(_WRITE, content_hash, text, language)
        return made

    async def waiting(
        self, lane: Lane, annotator: str, *, wanted: int, now: datetime, limit: int
    ) -> list[ItemRow]:
        """The first of a lane that this annotator may still be given."""
        if lane is Lane.GOLD:
            rows = await self._connection.fetch(_NEXT_GOLD, annotator, limit)
        elif lane is Lane.DRAWN:
            rows = await self._connection.fetch(_NEXT_DRAWN, annotator, now, wanted, limit)
        else:
            rows = await self._connection.fetch(_NEXT_BY_VALUE, annotator, now, wanted, limit)
        return [_item(row) for row in rows]

    async def claim(
        self, item_id: int, annotator: str, *, until: datetime, now: datetime, wanted: int
    ) -> bool:
        """Give a locked item to an annotator, unless others hold or have given all opinions it needs."""
        claimed = await self._connection.fetchval(_CLAIM, item_id, annotator, until, now, wanted)
        return claimed is not None

    async def hold(self, item_id: int, annotator: str, *, until: datetime) -> None:
        """Give it whoever else has it: to one who has read it already."""
        await self._connection.execute(_HOLD, item_id, annotator, until)

    async def release(self, item_id: int, annotator: str) -> None:
        await self._connection.execute(_RELEASE, item_id, annotator)

    async def held(self, annotator: str, *, now: datetime) -> int | None:
        """What the annotator was given and has neither labelled nor skipped."""
        found: int | None = await self._connection.fetchval(_HELD, annotator, now)
        return found

    async def claimed_until(self, item_id: int, annotator: str) -> datetime | None:
        """When the annotator's turn ends or ended; None: it was not given to them."""
        until: datetime | None = await self._connection.fetchval(_CLAIMED_UNTIL, item_id, annotator)
        return until

    async def votes(self, item_id: int) -> list[VoteRow]:
        """Oldest first, skips too."""
        return [VoteRow(**row) for row in await self._connection.fetch(_VOTES, item_id)]

    async def keep_vote(self, vote: VoteRow) -> None:
        """The annotator's last word on the item."""
        await self._connection.execute(
            _KEEP_VOTE, vote.item, vote.annotator, vote.label, vote.note, vote.voted_at
        )

    async def drop_vote(self, item_id: int, annotator: str) -> None:
        await self._connection.execute(_DROP_VOTE, item_id, annotator)

    async def turns(self, annotator: str) -> int:
        """How many texts the annotator has labelled or skipped."""
        count: int = await self._connection.fetchval(_TURNS, annotator)
        return count

    async def own_votes(
        self,
        annotator: str,
        *,
        before: tuple[datetime, int] | None = None,
        limit: int = 100,
    ) -> list[OwnVote]:
        """Newest first; `before` is moment and item of the last one already seen."""
        moment, item = before or (datetime.max.replace(tzinfo=UTC), _LAST_ID)
        rows = await self._connection.fetch(_OWN, annotator, moment, item, limit)
        return [OwnVote(**row) for row in rows]

    async def settle(
        self,
        item_id: int,
        result: Outcome,
        *,
        opinions: int,
        decided_by: str | None,
        decided_at: datetime | None,
    ) -> None:
        await self._connection.execute(
            _SETTLE, item_id, result.state, result.label, decided_by, decided_at, opinions
        )

    async def settle_enough(self, wanted: int, now: datetime) -> int:
        """After fewer opinions are asked for: what has them is done. How many."""
        return len(await self._connection.fetch(_SETTLE_ENOUGH, wanted, now))

    async def mark_gold(self, item_id: int, label: str | None, *, at: datetime | None) -> None:
        """None takes the mark away."""
        await self._connection.execute(_MARK_GOLD, item_id, label, at)

    async def in_state(
        self, state: State, *, before: int | None = None, limit: int = 100
    ) -> list[ItemRow]:
        """Newest first; `before` is the last id already seen."""
        rows = await self._connection.fetch(_LIST, state, before or _LAST_ID, limit)
        return [_item(row) for row in rows]

    async def gold(self, *, before: int | None = None, limit: int = 100) -> list[ItemRow]:
        rows = await self._connection.fetch(_LIST_GOLD, before or _LAST_ID, limit)
        return [_item(row) for row in rows]


def _item(row: asyncpg.Record) -> ItemRow:
    return ItemRow(**{**row, "reason": Reason(row["reason"]), "state": State(row["state"])})
