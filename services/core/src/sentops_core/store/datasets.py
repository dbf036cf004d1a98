"""The tables datasets, dataset_versions and dataset_members."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sentops_core.domain.errors import NotFound
from sentops_core.store.pool import Connection

# Builders take turns, so that version numbers have no gaps and a parent cannot go stale unseen.
_ONE_BUILDER_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('sentops.dataset_versions'))"

_DATASET = """
SELECT name, description, licence, origin, labels, split_salt, created_at
  FROM datasets
 WHERE name = $1
"""

_CREATE_DATASET = """
INSERT INTO datasets (name, description, licence, origin, labels, split_salt)
VALUES ($1, $2, $3, $4, $5, $6)
"""

_NEXT_NUMBER = "SELECT coalesce(max(number), 0) + 1 FROM dataset_versions"

_VERSIONS = """
SELECT v.name, v.number, v.dataset, v.parent, v.content_hash, v.holdout_hash, v.storage_uri, v.rows_train,
       v.rows_holdout, v.label_counts, CASE WHEN $5 THEN v.report ELSE '{}' END AS report, v.erased_rows, v.created_by,
       v.created_at, d.labels, d.description, d.licence, d.origin
  FROM dataset_versions v
  JOIN datasets d ON d.name = v.dataset
 WHERE ($1::text IS NULL OR v.name = $1)
   AND ($2::text IS NULL OR v.dataset = $2)
   AND ($3::text IS NULL OR v.content_hash = $3)
 ORDER BY v.number DESC
 LIMIT $4
"""

# Without the reports, which are long.
_LISTED = """
SELECT name, number, dataset, parent, rows_train, rows_holdout, label_counts,
       report #> '{profile,languages}' AS languages, erased_rows, created_by, created_at
  FROM dataset_versions
 WHERE number < $1
 ORDER BY number DESC
 LIMIT $2
"""

_NAMED = """
SELECT name, description, licence, origin, labels, split_salt, created_at
  FROM datasets
 ORDER BY name
 LIMIT $1
"""

_CREATE_VERSION = """
INSERT INTO dataset_versions
       (name, number, dataset, parent, content_hash, holdout_hash, storage_uri, rows_train, rows_holdout,
        label_counts, report, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""

_MEMBER_COLUMNS = (
    "dataset_version",
    "content_hash",
    "label",
    "split",
    "source",
    "annotator",
    "prediction_id",
)

# A member without its example was erased.
_MEMBERS = """
SELECT m.content_hash, e.text, m.label, m.split, m.source, e.language, e.group_key, m.annotator, m.prediction_id
  FROM dataset_members m
  LEFT JOIN examples e ON e.content_hash = m.content_hash
 WHERE m.dataset_version = $1
   AND m.content_hash > $2
 ORDER BY m.content_hash
 LIMIT $3
"""

_FIRST = b""
_LAST_NUMBER = 2**31 - 1


@dataclass(frozen=True)
class DatasetRow:
    name: str
    description: str
    licence: str
    origin: str
    labels: list[str]
    split_salt: str
    created_at: datetime


@dataclass(frozen=True)
class NewVersion:
    name: str
    number: int
    dataset: str
    parent: str | None
    content_hash: str
    holdout_hash: str
    storage_uri: str
    rows_train: int
    rows_holdout: int
    label_counts: dict[str, int]
    report: dict[str, Any]
    created_by: str


@dataclass(frozen=True)
class VersionRow(NewVersion):
    """A version, with what its dataset says about itself."""

    erased_rows: int
    created_at: datetime
    labels: list[str]
    description: str
    licence: str
    origin: str


@dataclass(frozen=True)
class ListedVersion:
    """`languages` is None on versions of programs that did not count them."""

    name: str
    number: int
    dataset: str
    parent: str | None
    rows_train: int
    rows_holdout: int
    label_counts: dict[str, int]
    languages: dict[str, int] | None
    erased_rows: int
    created_by: str
    created_at: datetime


@dataclass(frozen=True)
class NewMember:
    content_hash: bytes
    label: str
    split: str
    source: str
    annotator: str | None
    prediction_id: UUID | None


@dataclass(frozen=True)
class MemberRow:
    """`text` is None once it was erased."""

    content_hash: bytes
    text: str | None
    label: str
    split: str
    source: str
    language: str | None
    group_key: str | None
    annotator: str | None
    prediction_id: UUID | None


class Datasets:
    """Datasets and their immutable versions."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def lock_building(self) -> None:
        """Until the transaction ends nobody else builds a version."""
        await self._connection.execute(_ONE_BUILDER_AT_A_TIME)

    async def find(self, name: str) -> DatasetRow | None:
        row = await self._connection.fetchrow(_DATASET, name)
        return DatasetRow(**row) if row else None

    async def create(self, dataset: DatasetRow) -> None:
        await self._connection.execute(
            _CREATE_DATASET,
            dataset.name,
            dataset.description,
            dataset.licence,
            dataset.origin,
            dataset.labels,
            dataset.split_salt,
        )

    async def next_number(self) -> int:
        number: int = await self._connection.fetchval(_NEXT_NUMBER)
        return number

    async def version(self, name: str) -> VersionRow:
        found = await self._versions(name=name, limit=1)
        if not found:
            raise NotFound(
                f"There is no dataset version {name[:100]!r}.",
                saying="no_dataset_version",
                facts={"name": name[:100]},
            )
        return found[0]

    async def latest(self, dataset: str | None = None) -> VersionRow | None:
        """The newest version of this dataset, or of all."""
        found = await self._versions(dataset=dataset, limit=1)
        return found[0] if found else None

    async def with_content(self, content_hash: str) -> VersionRow | None:
        found = await self._versions(content_hash=content_hash, limit=1)
        return found[0] if found else None

    async def versions(self, limit: int = 200) -> list[VersionRow]:
        """The newest first, without their reports, which are long."""
        return await self._versions(limit=limit, reports=False)

    async def listed(self, *, before: int | None = None, limit: int = 100) -> list[ListedVersion]:
        """The newest first; `before` is the last number of the page already seen."""
        rows = await self._connection.fetch(_LISTED, before or _LAST_NUMBER, limit)
        return [ListedVersion(**row) for row in rows]

    async def named(self, limit: int = 200) -> list[DatasetRow]:
        """The datasets that versions are of."""
        return [DatasetRow(**row) for row in await self._connection.fetch(_NAMED, limit)]

    async def _versions(
        self,
        *,
        name: str | None = None,
        dataset: str | None = None,
        content_hash: str | None = None,
        limit: int,
        reports: bool = True,
    ) -> list[VersionRow]:
        rows = await self._connection.fetch(_VERSIONS, name, dataset, content_hash, limit, reports)
        return [VersionRow(**row) for row in rows]

    async def create_version(self, version: NewVersion, members: Sequence[NewMember]) -> None:
        await self._connection.execute(_CREATE_VERSION, *asdict(version).values())
        await self._connection.copy_records_to_table(
            "dataset_members",
            columns=_MEMBER_COLUMNS,
            records=[
                (
                    version.name,
                    member.content_hash,
                    member.label,
                    member.split,
                    member.source,
                    member.annotator,
                    member.prediction_id,
                )
                for member in members
            ],
        )

    async def members(
        self, version: str, *, after: bytes = _FIRST, limit: int | None = None
    ) -> list[MemberRow]:
        """The version's rows by content hash; for a page, those after a hash."""
        rows = await self._connection.fetch(_MEMBERS, version, after, limit)
        return [MemberRow(**row) for row in rows]
