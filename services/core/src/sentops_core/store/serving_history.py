"""Which version served when, as the audit log tells it; how much a version is asked; texts behind held-out rows."""

from collections.abc import Sequence
from datetime import datetime

from sentops_core.domain.spells import Arrival, Return, Spell, spells
from sentops_core.store.pool import Connection

# By subject, which the audit log is indexed by; its other lines are far more than these.
_MOVES = """
SELECT a.at, a.subject, a.action, CASE WHEN a.action <> 'model_version.live' THEN a.evidence -> 'why' END AS why
  FROM model_versions v
  JOIN audit_log a ON a.subject = v.name
 WHERE v.model_name = $1
   AND a.action IN ('model_version.live', 'model_version.rolled_back', 'model_version.quarantined')
 ORDER BY a.id
"""
_ANSWERED_SINCE = """
SELECT count(*)
  FROM predictions
 WHERE model_version = $1 AND created_at >= $2 AND NOT shadow
"""
_TEXTS = "SELECT content_hash, text FROM examples WHERE content_hash = ANY ($1::bytea[])"


class ServingHistory:
    """Of one model."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def spells(self, model_name: str) -> list[Spell]:
        """Oldest first."""
        arrivals, returns = [], []
        for row in await self._connection.fetch(_MOVES, model_name):
            if row["action"] == "model_version.live":
                arrivals.append(Arrival(row["subject"], row["at"]))
            else:
                why = row["why"] or ""
                sentence = " ".join(why) if isinstance(why, list) else str(why)
                returns.append(Return(row["subject"], row["at"], sentence))
        return spells(arrivals, returns)

    async def answered_since(self, version: str, moment: datetime) -> int:
        """How many texts it answered for people."""
        count: int = await self._connection.fetchval(_ANSWERED_SINCE, version, moment)
        return count


async def texts_of(connection: Connection, content_hashes: Sequence[str]) -> dict[str, str]:
    """By hex content hash; an erased text is missing."""
    wanted = [bytes.fromhex(one) for one in content_hashes]
    rows = await connection.fetch(_TEXTS, wanted)
    return {row["content_hash"].hex(): row["text"] for row in rows}
