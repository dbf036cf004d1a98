"""The control plane of one machine: rows of one transaction, and the processes beside them."""

import hmac

from sentops_core.domain.errors import Unauthenticated
from sentops_core.domain.resources import (
    DatasetRef,
    ModelVersion,
    RetrainPolicy,
    RetrainPolicySpec,
    Routing,
    TrainerStatus,
    TrainingJob,
    TrainingJobSpec,
)
from sentops_core.store.training_jobs import TrainingEvent
from sentops_trainer.acceptance import require_one_machine
from sentops_trainer.local.processes import Processes
from sentops_trainer.local.resources import Resources

_LOG_BYTES = 200_000


class LocalControlPlane:
    """`changed` tells whether the loop has something to do once the transaction is committed."""

    def __init__(self, resources: Resources, processes: Processes, model_name: str) -> None:
        self._resources = resources
        self._processes = processes
        self._model_name = model_name
        self.changed = False

    async def dataset(self, dataset_id: str | None) -> tuple[str, DatasetRef]:
        return await self._resources.dataset(dataset_id)

    def require_accepted(self, spec: TrainingJobSpec) -> None:
        require_one_machine(spec, self._model_name)

    async def create_job(self, job: TrainingJob, *, actor: str) -> None:
        self.changed = True
        await self._resources.create_job(job, actor=actor)

    async def jobs(self, limit: int) -> list[TrainingJob]:
        return await self._resources.jobs(limit)

    async def job(self, name: str) -> TrainingJob:
        return await self._resources.job(name)

    async def events(self, name: str, *, after: int) -> list[TrainingEvent]:
        await self._resources.job(name)
        return await self._resources.events(name, after=after)

    async def log(self, name: str) -> str:
        await self._resources.job(name)
        return self._processes.log_tail(name, _LOG_BYTES)

    async def set_suspend(self, name: str, *, suspend: bool, actor: str) -> TrainingJob:
        self.changed = True
        return await self._resources.set_suspend(name, suspend=suspend, actor=actor)

    async def cancel(self, name: str, *, actor: str) -> TrainingJob:
        self.changed = True
        return await self._resources.cancel(name, actor=actor)

    async def report_progress(self, name: str, token: str, progress: TrainerStatus) -> None:
        expected = self._processes.token(name)
        if expected is None or not hmac.compare_digest(token.encode(), expected.encode()):
            raise Unauthenticated("This token does not belong to a run of this job.")
        self._processes.write_progress(name, progress)
        await self._resources.add_progress_event(name, progress)

    async def versions(self, limit: int) -> list[ModelVersion]:
        return (await self._resources.versions(None))[:limit]

    async def version(self, name: str) -> ModelVersion:
        return await self._resources.version(name)

    async def promote(
        self, name: str, *, actor: str, reason: str, force: bool, clear_quarantine: bool
    ) -> ModelVersion:
        self.changed = True
        return await self._resources.promote(
            name, actor=actor, reason=reason, force=force, clear_quarantine=clear_quarantine
        )

    async def approve(self, name: str, *, actor: str, reason: str) -> ModelVersion:
        self.changed = True
        return await self._resources.approve(name, actor=actor, reason=reason)

    async def archive(self, name: str, *, actor: str, reason: str) -> ModelVersion:
        self.changed = True
        return await self._resources.archive(name, actor=actor, reason=reason)

    async def roll_back(self, name: str, *, actor: str, reason: str) -> ModelVersion:
        self.changed = True
        return await self._resources.roll_back(name, actor=actor, reason=reason)

    async def policies(self) -> list[RetrainPolicy]:
        return await self._resources.policies()

    async def policy(self, name: str) -> RetrainPolicy:
        return await self._resources.policy(name)

    async def put_policy(
        self, name: str, spec: RetrainPolicySpec, *, generation: int | None, actor: str
    ) -> RetrainPolicy:
        return await self._resources.put_policy(name, spec, generation=generation, actor=actor)

    async def delete_policy(self, name: str, *, actor: str) -> None:
        await self._resources.delete_policy(name, actor=actor)

    async def routing(self) -> Routing:
        return (await self._resources.routed(self._model_name)).routing
