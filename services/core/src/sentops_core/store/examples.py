"""The examples table: labelled texts, one row per distinct text, with their newest label."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
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
   AND (examples.source <> 'edited' OR EXCLUDED.source = 'edited')
"""

_LOCKED = """
SELECT content_hash, text, label, language, group_key, source, annotator, prediction_id, created_at, updated_at
  FROM examples
 WHERE content_hash = $1
   FOR UPDATE
"""

_FIND = """
SELECT content_hash, text, label, language, group_key, source, annotator, prediction_id, created_at, updated_at
  FROM examples
 WHERE content_hash = $1
"""

_EDIT = """
UPDATE examples
   SET label = $2, source = 'edited', annotator = $3, updated_at = now()
 WHERE content_hash = $1
"""

# What staff changed last, of these texts.
_EDITED = """
SELECT content_hash, label, annotator
  FROM examples
 WHERE source = 'edited'
   AND content_hash = ANY ($1::bytea[])
"""

# The edits are few: they lead, by their own index.
_WAITING = """
SELECT count(*)
  FROM examples e
  JOIN dataset_members m ON m.dataset_version = $1 AND m.content_hash = e.content_hash
 WHERE e.source = 'edited'
   AND e.label <> m.label
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
class KnownExample(ExampleRow):
    """An example as it is now."""

    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class EditedLabel:
    content_hash: bytes
    label: str
    annotator: str | None


class Examples:
    """The examples table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def keep(self, rows: Sequence[ExampleRow]) -> None:
        """Insert new texts; a text that is there gets the new label, and who gave it, but for what staff edited."""
        if rows:
            columns = zip(*(astuple(row) for row in rows), strict=True)
            await self._connection.execute(_KEEP, *(list(column) for column in columns))

    async def find(self, content_hash: bytes, *, lock: bool = False) -> KnownExample | None:
        """None once it was erased; `lock` keeps others from changing it until the transaction ends."""
        row = await self._connection.fetchrow(_LOCKED if lock else _FIND, content_hash)
        return KnownExample(**row) if row else None

    async def edit(self, content_hash: bytes, label: str, editor: str) -> None:
        await self._connection.execute(_EDIT, content_hash, label, editor)

    async def edited(self, content_hashes: Sequence[bytes]) -> dict[bytes, EditedLabel]:
        """Those of these texts whose newest label comes from staff."""
        rows = await self._connection.fetch(_EDITED, content_hashes)
        return {row["content_hash"]: EditedLabel(**row) for row in rows}

    async def edits_waiting(self, version: str) -> int:
        """How many rows of this version staff have relabelled since: the next version built on it takes them in."""
        count: int = await self._connection.fetchval(_WAITING, version)
        return count
