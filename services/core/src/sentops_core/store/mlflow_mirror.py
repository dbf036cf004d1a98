"""What the MLflow mirror has said already, and what it still has to say."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sentops_core.store.pool import Connection


class Kind(StrEnum):
    """In the order in which they are told: a version names its run, an alias its version."""

    EXPERIMENT = "experiment"
    TRAINING_JOB = "training_job"
    MODEL_VERSION = "model_version"
    ALIASES = "aliases"


@dataclass(frozen=True)
class Behind:
    """A row that changed since it was last said; `said` is the hash of what was told then."""

    kind: Kind
    name: str
    said: str | None


# Of the pooled connection: it ends when the connection is given back, or lost.
_TAKE_TURN = "SELECT pg_try_advisory_lock(hashtext('sentops.mlflow_mirror'))"
_STILL_MINE = """
SELECT EXISTS (SELECT FROM pg_locks
                WHERE locktype = 'advisory' AND pid = pg_backend_pid()
                  AND objid = hashtext('sentops.mlflow_mirror')::bigint & 4294967295)
"""
# Numbers order versions as they were made, so that MLflow's own numbers follow ours.
_BEHIND = """
SELECT kind, name, said
  FROM (SELECT 'training_job' AS kind, 1 AS turn, t.name, m.said, t.created_at, 0 AS number
          FROM training_jobs t
          LEFT JOIN mlflow_mirror m ON m.kind = 'training_job' AND m.name = t.name
         WHERE m.seen IS DISTINCT FROM t.updated_at
         UNION ALL
        SELECT 'model_version', 2, v.name, m.said, NULL, v.version
          FROM model_versions v
          LEFT JOIN mlflow_mirror m ON m.kind = 'model_version' AND m.name = v.name
         WHERE m.seen IS DISTINCT FROM v.updated_at
         UNION ALL
        SELECT 'aliases', 3, r.model_name, m.said, NULL, 0
          FROM routing r
          LEFT JOIN mlflow_mirror m ON m.kind = 'aliases' AND m.name = r.model_name
         WHERE m.seen IS DISTINCT FROM r.updated_at) behind
 ORDER BY turn, created_at, number, name
"""
_EXPERIMENTS = "SELECT name, said FROM mlflow_mirror WHERE kind = 'experiment' ORDER BY name"
_SET = """
INSERT INTO mlflow_mirror (kind, name, seen, said)
VALUES ($1, $2, $3, $4)
    ON CONFLICT (kind, name) DO UPDATE SET seen = EXCLUDED.seen, said = EXCLUDED.said
"""
_SET_EXPERIMENT = """
INSERT INTO mlflow_mirror (kind, name, seen, said)
VALUES ('experiment', $1, now(), $2)
    ON CONFLICT (kind, name) DO UPDATE SET seen = EXCLUDED.seen, said = EXCLUDED.said
"""
_FORGET = "DELETE FROM mlflow_mirror WHERE kind = $1 AND name = $2"
_FORGET_ALL = "DELETE FROM mlflow_mirror"
_ROUTED_AT = "SELECT updated_at FROM routing WHERE model_name = $1"


class MlflowMirror:
    """The mlflow_mirror table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def take_turn(self) -> bool:
        """Whether this connection is the one that mirrors; false while another one does."""
        mine: bool = await self._connection.fetchval(_TAKE_TURN)
        return mine

    async def still_mine(self) -> bool:
        """Whether the turn taken with this connection still is."""
        mine: bool = await self._connection.fetchval(_STILL_MINE)
        return mine

    async def behind(self) -> list[Behind]:
        """What changed since it was said, in the order in which to say it."""
        rows = await self._connection.fetch(_BEHIND)
        return [Behind(Kind(row["kind"]), row["name"], row["said"]) for row in rows]

    async def said(self, kind: Kind, name: str, *, seen: datetime, what: str) -> None:
        """Remember that this state of the row was told."""
        await self._connection.execute(_SET, kind.value, name, seen, what)

    async def routed_at(self, model_name: str) -> datetime | None:
        """When the routing of this model last moved."""
        moment: datetime | None = await self._connection.fetchval(_ROUTED_AT, model_name)
        return moment

    async def experiments(self) -> Mapping[str, str]:
        """The mark that was left in each experiment, by its name."""
        return {row["name"]: row["said"] for row in await self._connection.fetch(_EXPERIMENTS)}

    async def set_experiment(self, name: str, mark: str) -> None:
        await self._connection.execute(_SET_EXPERIMENT, name, mark)

    async def forget(self, kind: Kind, name: str) -> None:
        await self._connection.execute(_FORGET, kind.value, name)

    async def forget_all(self) -> None:
        """Everything is to be said again."""
        await self._connection.execute(_FORGET_ALL)
