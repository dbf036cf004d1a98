"""Sources of votes that count nowhere, until a person lets them again."""

from dataclasses import dataclass
from datetime import datetime

from sentops_core.domain.errors import Conflict, NotFound
from sentops_core.store.pool import Connection


@dataclass(frozen=True)
class Quarantined:
    """`kind` is 'client' (its opaque key) or 'source' (the way in: 'web', 'api')."""

    kind: str
    name: str
    note: str
    evidence: str
    quarantined_by: str
    quarantined_at: datetime
    votes: int = 0


_ADD = """
INSERT INTO quarantined_sources (kind, name, note, evidence_text, quarantined_by)
VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (kind, name) DO NOTHING
RETURNING kind
"""
_REMOVE = "DELETE FROM quarantined_sources WHERE kind = $1 AND name = $2 RETURNING kind"
_LIST = """
SELECT q.kind, q.name, q.note, q.evidence_text AS evidence, q.quarantined_by, q.quarantined_at,
       CASE q.kind WHEN 'client' THEN (SELECT count(*) FROM feedback f WHERE f.client = q.name)
                   ELSE (SELECT count(*) FROM feedback f WHERE f.source = q.name) END AS votes
  FROM quarantined_sources q
 ORDER BY q.quarantined_at DESC, q.kind, q.name
 LIMIT 100
"""
_VOTES_OF_CLIENT = "SELECT count(*) FROM feedback WHERE client = $1"
_VOTES_OF_SOURCE = "SELECT count(*) FROM feedback WHERE source = $1"


class Quarantine:
    """The quarantined_sources table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def votes(self, kind: str, name: str) -> int:
        """How many votes it would concern."""
        statement = _VOTES_OF_CLIENT if kind == "client" else _VOTES_OF_SOURCE
        count: int = await self._connection.fetchval(statement, name)
        return count

    async def add(self, kind: str, name: str, *, note: str, evidence: str, actor: str) -> None:
        if await self._connection.fetchval(_ADD, kind, name, note, evidence, actor) is None:
            raise Conflict("This source is in quarantine already.")

    async def remove(self, kind: str, name: str) -> None:
        if await self._connection.fetchval(_REMOVE, kind, name) is None:
            raise NotFound("This source is not in quarantine.")

    async def newest(self) -> list[Quarantined]:
        return [Quarantined(**row) for row in await self._connection.fetch(_LIST)]
