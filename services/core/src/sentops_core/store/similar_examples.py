"""Labelled texts that look like another one, out of the dataset versions that may be shown to anybody."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sentops_core.store.pool import Connection

# Long texts are compared by their beginning, which bounds what each comparison costs.
_COMPARED_CHARACTERS = 400
_ALIKE = 0.3  # share of trigrams in common, from 0 to 1; under it people see no likeness

_BOUND = "SELECT set_config('statement_timeout', $1, true)"
# A dataset's first version, when made from a file alone, holds that file and nothing that people added since.
_FIRST_VERSION = """
SELECT CASE WHEN parent IS NULL THEN name END AS name
  FROM dataset_versions
 WHERE dataset = $1
 ORDER BY number
 LIMIT 1
"""
# The version's own label: the newest one may be another visitor's correction. Texts that came from visitors, by whatever
# way, carry their prediction or another source; they are never among these. They come first, and are compared one by one:
# with thousands of them that takes a tenth of what the trigram index over all examples takes.
_ALIKE_IN = """
WITH shown AS MATERIALIZED (
    SELECT e.text, m.label, e.content_hash
      FROM dataset_members m
      JOIN examples e ON e.content_hash = m.content_hash
     WHERE m.dataset_version = ANY ($2::text[])
       AND m.prediction_id IS NULL AND e.prediction_id IS NULL
       AND m.source LIKE 'upload:%'
),
compared AS (
    SELECT text, label, content_hash, similarity(text, $1)::float8 AS likeness
      FROM shown
)
SELECT text, label, likeness
  FROM compared
 WHERE likeness >= $3
 ORDER BY likeness DESC, content_hash
 LIMIT $4
"""


@dataclass(frozen=True)
class SimilarExample:
    """`likeness` is the share of letter triples in common, from 0 to 1: alike in words, not in meaning."""

    text: str
    label: str
    likeness: float


class SimilarExamples:
    """Reads within the caller's transaction, which gets a time limit of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def first_version(self, dataset: str) -> str | None:
        """None where there is no such dataset, or its first version was built on another one."""
        name: str | None = await self._connection.fetchval(_FIRST_VERSION, dataset)
        return name

    async def like(
        self, text: str, versions: Sequence[str], *, limit: int, within: timedelta
    ) -> list[SimilarExample]:
        """The most alike first; Unavailable (of `pool.transaction`) when the time is up."""
        milliseconds = f"{within // timedelta(milliseconds=1)}ms"
        await self._connection.execute(_BOUND, milliseconds)
        rows = await self._connection.fetch(
            _ALIKE_IN, text[:_COMPARED_CHARACTERS], list(versions), _ALIKE, limit
        )
        found = [SimilarExample(**row) for row in rows]
        return list({one.text: one for one in found}.values())
