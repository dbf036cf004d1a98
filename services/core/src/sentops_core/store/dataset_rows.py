"""The rows of dataset versions as people look at them: filtered, in pages, compared."""

import re
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from sentops_core.domain.errors import NotFound
from sentops_core.store.pool import Connection

# A text is found by any part of it: by pg_trgm's index from three letters on. What is shorter, or is no letters at all,
# is looked for in every text of the version, so it comes with its few spellings: LIKE is many times as fast as ILIKE.
_BROWSE = """
SELECT m.content_hash, e.text, m.label, m.split, m.source, e.language, m.annotator, m.prediction_id,
       e.label AS label_now
  FROM dataset_members m
  LEFT JOIN examples e ON e.content_hash = m.content_hash
 WHERE m.dataset_version = $1
   AND m.content_hash > $2
   AND ($3::text IS NULL OR e.text ILIKE $3)
   AND ($4::text IS NULL OR m.label = $4)
   AND ($5::text IS NULL OR m.split = $5)
   AND ($6::text IS NULL OR m.source = $6)
   AND ($7::text IS NULL OR coalesce(e.language, '') = $7)
   AND (NOT $8 OR (e.label <> m.label AND e.source = 'edited'))
   AND ($9::text[] IS NULL OR e.text LIKE ANY ($9))
 ORDER BY m.content_hash
 LIMIT $10
"""

_SOME = """
SELECT m.content_hash, e.text, m.label, m.split, m.source, e.language, m.annotator, m.prediction_id,
       e.label AS label_now
  FROM dataset_members m
  LEFT JOIN examples e ON e.content_hash = m.content_hash
 WHERE m.dataset_version = $1
   AND m.content_hash = ANY ($2::bytea[])
"""

_IN_VERSIONS = """
SELECT v.name, m.label, m.split
  FROM dataset_members m
  JOIN dataset_versions v ON v.name = m.dataset_version
 WHERE m.content_hash = $1
 ORDER BY v.number DESC
 LIMIT $2
"""

_DESCRIPTIONS = """
SELECT m.content_hash, e.text, e.language, m.source
  FROM dataset_members m
  JOIN examples e ON e.content_hash = m.content_hash
 WHERE m.dataset_version = $1
"""

# Both sides come in the order of the primary key.
_DIFFERENCES = """
SELECT count(*) FILTER (WHERE o.content_hash IS NULL) AS added,
       count(*) FILTER (WHERE n.content_hash IS NULL) AS removed,
       count(*) FILTER (WHERE o.label <> n.label) AS relabelled,
       count(*) FILTER (WHERE o.label = n.label) AS same
  FROM (SELECT content_hash, label FROM dataset_members WHERE dataset_version = $1) o
  FULL JOIN (SELECT content_hash, label FROM dataset_members WHERE dataset_version = $2) n
    ON n.content_hash = o.content_hash
"""

_ADDED = """
SELECT n.content_hash, e.text, NULL::text AS before, n.label AS after, n.split, n.source
  FROM dataset_members n
  LEFT JOIN examples e ON e.content_hash = n.content_hash
 WHERE n.dataset_version = $2
   AND n.content_hash > $3
   AND NOT EXISTS (SELECT FROM dataset_members o
                    WHERE o.dataset_version = $1 AND o.content_hash = n.content_hash)
 ORDER BY n.content_hash
 LIMIT $4
"""

_REMOVED = """
SELECT o.content_hash, e.text, o.label AS before, NULL::text AS after, o.split, o.source
  FROM dataset_members o
  LEFT JOIN examples e ON e.content_hash = o.content_hash
 WHERE o.dataset_version = $1
   AND o.content_hash > $3
   AND NOT EXISTS (SELECT FROM dataset_members n
                    WHERE n.dataset_version = $2 AND n.content_hash = o.content_hash)
 ORDER BY o.content_hash
 LIMIT $4
"""

_RELABELLED = """
SELECT n.content_hash, e.text, o.label AS before, n.label AS after, n.split, n.source
  FROM dataset_members n
  JOIN dataset_members o ON o.dataset_version = $1 AND o.content_hash = n.content_hash
  LEFT JOIN examples e ON e.content_hash = n.content_hash
 WHERE n.dataset_version = $2
   AND n.content_hash > $3
   AND n.label <> o.label
 ORDER BY n.content_hash
 LIMIT $4
"""

_VERSIONS_SHOWN = 20
_LETTERS = re.compile(r"[^\W_]{3}")


@dataclass(frozen=True)
class RowFilter:
    """What is None does not matter. `language` is empty for rows whose language nobody knows.

    `changed`: only rows that staff have relabelled since the version was built.
    """

    search: str | None = None
    label: str | None = None
    split: str | None = None
    source: str | None = None
    language: str | None = None
    changed: bool = False


ALL_ROWS = RowFilter()


@dataclass(frozen=True)
class BrowsedRow:
    """`label` is the version's, `label_now` the text's newest; both text and it are None once erased."""

    content_hash: bytes
    text: str | None
    label: str
    split: str
    source: str
    language: str | None
    annotator: str | None
    prediction_id: UUID | None
    label_now: str | None


@dataclass(frozen=True)
class InVersion:
    name: str
    label: str
    split: str


@dataclass(frozen=True)
class DescribedRow:
    content_hash: bytes
    text: str
    language: str | None
    source: str


class DiffKind(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    RELABELLED = "relabelled"


@dataclass(frozen=True)
class Differences:
    added: int
    removed: int
    relabelled: int
    same: int


@dataclass(frozen=True)
class DifferentRow:
    """`before` is None where it was added, `after` where it was removed."""

    content_hash: bytes
    text: str | None
    before: str | None
    after: str | None
    split: str
    source: str


_DIFFERENT: dict[DiffKind, str] = {
    DiffKind.ADDED: _ADDED,
    DiffKind.REMOVED: _REMOVED,
    DiffKind.RELABELLED: _RELABELLED,
}


class DatasetRows:
    """dataset_members with their texts."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def browse(
        self, version: str, wanted: RowFilter = ALL_ROWS, *, after: bytes = b"", limit: int = 100
    ) -> list[BrowsedRow]:
        """By content hash, those after the last one of the page already seen."""
        search = wanted.search or ""
        by_index = _LETTERS.search(search) is not None
        rows = await self._connection.fetch(
            _BROWSE,
            version,
            after,
            _containing(search) if by_index else None,
            wanted.label,
            wanted.split,
            wanted.source,
            wanted.language,
            wanted.changed,
            _spellings(wanted.search) if wanted.search and not by_index else None,
            limit,
        )
        return [BrowsedRow(**row) for row in rows]

    async def some(self, version: str, content_hashes: list[bytes]) -> dict[bytes, BrowsedRow]:
        """Those of these rows that the version has."""
        rows = await self._connection.fetch(_SOME, version, content_hashes)
        return {row["content_hash"]: BrowsedRow(**row) for row in rows}

    async def row(self, version: str, content_hash: bytes) -> BrowsedRow:
        found = await self.some(version, [content_hash])
        if content_hash not in found:
            raise NotFound(
                f"{version[:100]} has no such row.",
                saying="no_dataset_row",
                facts={"version": version[:100]},
            )
        return found[content_hash]

    async def in_versions(self, content_hash: bytes) -> list[InVersion]:
        """The newest versions that hold this text."""
        rows = await self._connection.fetch(_IN_VERSIONS, content_hash, _VERSIONS_SHOWN)
        return [InVersion(**row) for row in rows]

    async def descriptions(self, version: str) -> list[DescribedRow]:
        """Every row that is not erased, for a profile."""
        return [DescribedRow(**row) for row in await self._connection.fetch(_DESCRIPTIONS, version)]

    async def differences(self, before: str, after: str) -> Differences:
        row = await self._connection.fetchrow(_DIFFERENCES, before, after)
        assert row is not None  # noqa: S101 - an aggregate gives a row
        return Differences(**row)

    async def different(
        self, before: str, after: str, kind: DiffKind, *, last: bytes = b"", limit: int = 100
    ) -> list[DifferentRow]:
        """Rows of one kind by content hash, those after the last one of the page already seen."""
        rows = await self._connection.fetch(_DIFFERENT[kind], before, after, last, limit)
        return [DifferentRow(**row) for row in rows]


def _spellings(part: str) -> list[str]:
    """Patterns of LIKE for all cases of the letters of a part that has few."""
    spelt = {part, part.lower(), part.upper(), part.capitalize(), part.swapcase()}
    return [_containing(one) for one in sorted(spelt)]


def _containing(part: str) -> str:
    """A pattern of LIKE that finds exactly these characters, whatever they mean to LIKE."""
    escaped = part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
