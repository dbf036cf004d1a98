"""Trainings that retraining policies asked for, newest first."""

from dataclasses import dataclass
from datetime import datetime

from sentops_core.domain.resources import TrainingJobPhase
from sentops_core.domain.retrain import POLICY_LABEL
from sentops_core.store.pool import Connection


@dataclass(frozen=True)
class PolicyTraining:
    """`model_version` is what it made; None: nothing, or nothing yet."""

    name: str
    phase: TrainingJobPhase
    model_version: str | None
    dataset_version: str | None
    created_at: datetime


_NEWEST = """
SELECT name, phase, status -> 'modelVersionRef' ->> 'name' AS model_version, dataset_version, created_at
  FROM training_jobs
 WHERE metadata -> 'labels' ->> $1 = $2
 ORDER BY created_at DESC, name DESC
 LIMIT $3
"""


async def trainings_of_policy(
    connection: Connection, policy: str, limit: int = 20
) -> list[PolicyTraining]:
    rows = await connection.fetch(_NEWEST, POLICY_LABEL, policy, limit)
    return [PolicyTraining(**{**row, "phase": TrainingJobPhase(row["phase"])}) for row in rows]
