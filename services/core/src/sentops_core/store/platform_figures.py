"""Where training, roll-outs and backups stand, for metrics: each by one short statement."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sentops_core.store.pool import Connection


@dataclass(frozen=True)
class PlatformFigures:
    """What is not known, or has never happened, is None; phases that nothing is in are not listed."""

    open_jobs: Mapping[str, int] | None = None
    model_versions: Mapping[str, int] | None = None
    last_training_failure: datetime | None = None
    last_training_success: datetime | None = None
    last_training_progress: datetime | None = None
    training_progress: float | None = None
    last_rollout_failure: datetime | None = None
    last_backup: datetime | None = None


_OPEN_JOBS = """
SELECT phase, count(*) AS number
  FROM training_jobs
 WHERE phase NOT IN ('Succeeded', 'Rejected', 'Failed')
 GROUP BY phase
"""
_MODEL_VERSIONS = """
SELECT phase, count(*) AS number FROM model_versions GROUP BY phase
"""
# The newest hundreds hold the last of either kind, or it is too long ago for anybody to be told. What a person
# cancelled has not failed, and a verdict of the gate is what a training is for.
_FINISHED = """
SELECT max((status ->> 'completionTime')::timestamptz) FILTER (
           WHERE phase = 'Failed'
             AND NOT status @? '$.conditions[*] ? (@.type == "Failed" && @.reason == "Cancelled")'
       ) AS failure,
       max((status ->> 'completionTime')::timestamptz) FILTER (
           WHERE phase IN ('Succeeded', 'Rejected')
       ) AS success
  FROM (SELECT phase, status
          FROM training_jobs
         ORDER BY created_at DESC, name DESC
         LIMIT 500) AS newest
"""
# Of several that run, the one that has been silent the longest. The second condition is that of the index of open jobs.
_RUNNING = """
SELECT coalesce(newest.at, j.updated_at) AS at,
       (j.status -> 'trainerStatus' ->> 'progressPercentage')::double precision / 100 AS progress
  FROM training_jobs j
  LEFT JOIN LATERAL (SELECT e.at
                       FROM training_events e
                      WHERE e.training_job = j.name
                      ORDER BY e.id DESC
                      LIMIT 1) AS newest ON true
 WHERE j.phase IN ('Running', 'Evaluating')
   AND j.phase NOT IN ('Succeeded', 'Rejected', 'Failed')
 ORDER BY at
 LIMIT 1
"""
_ROLLOUT_FAILURE = """
SELECT max((status ->> 'phaseStartedAt')::timestamptz)
  FROM model_versions
 WHERE phase IN ('RolledBack', 'Quarantined')
"""
# A backup that lacks what the platform needs is none.
_BACKUP = """
SELECT at
  FROM audit_log
 WHERE action = 'backup.created' AND evidence @> '{"complete": true}'
 ORDER BY id DESC
 LIMIT 1
"""


async def read_platform_figures(connection: Connection) -> PlatformFigures:
    finished = await connection.fetchrow(_FINISHED)
    assert finished is not None  # noqa: S101 - an aggregate is one row
    running = await connection.fetchrow(_RUNNING)
    return PlatformFigures(
        open_jobs=await _by_phase(connection, _OPEN_JOBS),
        model_versions=await _by_phase(connection, _MODEL_VERSIONS),
        last_training_failure=finished["failure"],
        last_training_success=finished["success"],
        last_training_progress=running["at"] if running is not None else None,
        training_progress=running["progress"] if running is not None else None,
        last_rollout_failure=await connection.fetchval(_ROLLOUT_FAILURE),
        last_backup=await connection.fetchval(_BACKUP),
    )


async def _by_phase(connection: Connection, statement: str) -> dict[str, int]:
    return {row["phase"]: row["number"] for row in await connection.fetch(statement)}
