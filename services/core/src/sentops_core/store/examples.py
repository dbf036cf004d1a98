"""The examples table: labelled texts, one row per distinct text; and the votes that become such texts."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from uuid import UUID

from sentops_core.store.pool import Connection

_KEEP = """
INSERT INTO examples
       (content_hash, text, label, language, group_key, source, annotator, prediction_id)
SELECT content_hash, text, label, language, group_key, source, annotator, prediction_id
  FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::uuid[])
    AS kept (content_hash, text, label, language, group_key, source, annotator, prediction_id)
ON CONFLICT (content_hash) DO UPDATE
   SET label = EXCLUDED.label,
       source = EXCLUDED.source,
       annotator = EXCLUDED.annotator,
       prediction_id = EXCLUDED.prediction_id,
       updated_at = now()
 WHERE examples.label <> EXCLUDED.label
"""

# Each client's last vote on each prediction; what a client said of a text elsewhere is settled by vote_id.
_VOTES = """
SELECT p.text, f.client, f.label, f.vote_id, f.prediction_id
  FROM feedback f
  JOIN predictions p ON p.created_at = f.predicted_at AND p.id = f.prediction_id
 WHERE f.status <> 'refused'
   AND p.text IS NOT NULL
   AND NOT p.shadow
 ORDER BY f.vote_id
"""


@dataclass(frozen=True)
class ExampleRow:
    content_hash: bytes
    text: str
    label: str
    language: str | None
    group_key: str | None
    source: str
    annotator: str | None
    prediction_id: UUID | None


@dataclass(frozen=True)
class VoteRow:
    text: str
    client: str
    label: str
    vote_id: UUID
    prediction_id: UUID


class Examples:
    """The examples table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def keep(self, rows: Sequence[ExampleRow]) -> None:
        """Insert new texts; a text that is there gets the new label, and who gave it."""
        if rows:
            columns = zip(*(astuple(row) for row in rows), strict=True)
            await self._connection.execute(_KEEP, *(list(column) for column in columns))

    async def votes(self) -> list[VoteRow]:
        """Corrections and confirmations whose text is still there, the oldest first."""
        return [VoteRow(**row) for row in await self._connection.fetch(_VOTES)]
