"""The examples table: labelled texts, one row per distinct text, with their newest label."""

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


class Examples:
    """The examples table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def keep(self, rows: Sequence[ExampleRow]) -> None:
        """Insert new texts; a text that is there gets the new label, and who gave it."""
        if rows:
            columns = zip(*(astuple(row) for row in rows), strict=True)
            await self._connection.execute(_KEEP, *(list(column) for column in columns))
