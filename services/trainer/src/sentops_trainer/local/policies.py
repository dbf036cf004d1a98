"""Retraining policies of one machine: rows, changed in one transaction with their audit lines."""

from sentops_core.domain.resources import (
    ModelVersion,
    RetrainPolicy,
    RetrainPolicyStatus,
    RetrainStart,
    TrainingJob,
)
from sentops_core.store.audit import Audit
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.pool import Pool, transaction
from sentops_core.store.retrain_policies import RetrainPolicies
from sentops_core.store.training_jobs import TrainingJobs
from sentops_trainer.retraining.substrate import AuditLine, actor_of


class LocalPolicies:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def policies(self) -> list[RetrainPolicy]:
        async with transaction(self._pool) as connection:
            return [row.policy for row in await RetrainPolicies(connection).all()]

    async def open_jobs(self, model_name: str) -> list[TrainingJob]:
        async with transaction(self._pool) as connection:
            rows = await TrainingJobs(connection).list_open()
        return [row.job for row in rows if row.job.spec.model_name == model_name]

    async def versions(self, model_name: str) -> list[ModelVersion]:
        async with transaction(self._pool) as connection:
            return [
                row.version for row in await ModelVersions(connection).list_versions(model_name)
            ]

    async def starts(self, policy_name: str) -> list[RetrainStart]:
        """The tables, where the evidence is read, hold them all."""
        del policy_name
        return []

    async def save(
        self, policy: RetrainPolicy, status: RetrainPolicyStatus, line: AuditLine | None
    ) -> RetrainPolicy:
        name = policy.metadata.name
        async with transaction(self._pool) as connection:
            saved = await RetrainPolicies(connection).save_status(policy, status)
            if line is not None:
                await Audit(connection).record(actor_of(policy), line.action, name, line.evidence)
        return saved
