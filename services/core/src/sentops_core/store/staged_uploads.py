"""The tables staged_uploads and staged_pieces: files between upload and confirmation, each for its owner alone."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sentops_core.domain.errors import NotFound
from sentops_core.store.pool import Connection

# Two uploads at once must not both fit into the last place.
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('sentops.staged_uploads'))"

_ROOM = """
SELECT count(*) FILTER (WHERE owner = $1) AS own, coalesce(sum(file_bytes), 0)::bigint AS bytes
  FROM staged_uploads
"""

_CREATE = """
INSERT INTO staged_uploads (id, owner, filename_text, file_bytes, choices_text, preview_text, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""

_PIECE = "INSERT INTO staged_pieces (upload, number, content) VALUES ($1, $2, $3)"

_PIECES = "SELECT content FROM staged_pieces WHERE upload = $1 ORDER BY number"

_FIND = """
SELECT id, owner, filename_text AS filename, file_bytes, choices_text AS choices, preview_text AS preview,
       created_at, expires_at
  FROM staged_uploads
 WHERE id = $1 AND owner = $2 AND expires_at > now()
"""

_OF_OWNER = """
SELECT id, filename_text AS filename, file_bytes, created_at, expires_at
  FROM staged_uploads
 WHERE owner = $1 AND expires_at > now()
 ORDER BY created_at DESC
"""

_CHOOSE = """
UPDATE staged_uploads
   SET choices_text = $3, preview_text = $4
 WHERE id = $1 AND owner = $2
RETURNING id
"""

_REMOVE = "DELETE FROM staged_uploads WHERE id = $1 AND owner = $2 RETURNING id"

_REMOVE_EXPIRED = """
WITH gone AS (DELETE FROM staged_uploads WHERE expires_at <= now() RETURNING 1)
SELECT count(*) FROM gone
"""


@dataclass(frozen=True)
class StagedFile:
    """What lists show."""

    id: UUID
    filename: str
    file_bytes: int
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class StagedUpload(StagedFile):
    owner: str
    choices: dict[str, Any]
    preview: dict[str, Any]


@dataclass(frozen=True)
class Room:
    """How many uploads this owner has, and how many bytes all owners have."""

    own: int
    bytes: int


class StagedUploads:
    """Uploads that wait for their owners' confirmation. Expired ones are as good as gone."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def lock(self) -> None:
        """Until the transaction ends nobody else stages a file."""
        await self._connection.execute(_ONE_AT_A_TIME)

    async def room(self, owner: str) -> Room:
        row = await self._connection.fetchrow(_ROOM, owner)
        assert row is not None  # noqa: S101 - an aggregate gives a row
        return Room(**row)

    async def create(
        self,
        upload: UUID,
        owner: str,
        filename: str,
        size: int,
        pieces: Iterable[bytes],
        *,
        choices: dict[str, Any],
        preview: dict[str, Any],
        expires_at: datetime,
    ) -> None:
        """`pieces` are the file's bytes in order, each small enough for a row."""
        await self._connection.execute(
            _CREATE, upload, owner, filename, size, choices, preview, expires_at
        )
        for number, piece in enumerate(pieces):
            await self._connection.execute(_PIECE, upload, number, piece)

    async def find(self, upload: UUID, owner: str) -> StagedUpload:
        row = await self._connection.fetchrow(_FIND, upload, owner)
        if row is None:
            raise _gone()
        return StagedUpload(**row)

    async def pieces(self, upload: UUID) -> AsyncIterator[bytes]:
        """The file's bytes in order; needs a transaction."""
        async for row in self._connection.cursor(_PIECES, upload, prefetch=4):
            yield row["content"]

    async def of_owner(self, owner: str) -> list[StagedFile]:
        """The newest first."""
        return [StagedFile(**row) for row in await self._connection.fetch(_OF_OWNER, owner)]

    async def choose(
        self, upload: UUID, owner: str, choices: dict[str, Any], preview: dict[str, Any]
    ) -> None:
        if await self._connection.fetchval(_CHOOSE, upload, owner, choices, preview) is None:
            raise _gone()

    async def remove(self, upload: UUID, owner: str) -> bool:
        """Whether it was there."""
        return await self._connection.fetchval(_REMOVE, upload, owner) is not None

    async def remove_expired(self) -> int:
        count: int = await self._connection.fetchval(_REMOVE_EXPIRED)
        return count


def _gone() -> NotFound:
    return NotFound(
        "This upload is not here any more: it was confirmed, discarded, or waited too long. Send the file again.",
        saying="upload_gone",
    )
