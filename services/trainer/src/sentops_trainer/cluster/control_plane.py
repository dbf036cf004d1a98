"""The control plane of a cluster: wishes become spec and annotations of custom resources, each with its audit line."""

from collections.abc import Mapping
from typing import Any

from sentops_core.domain.errors import Conflict, NotFound
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import (
    Approval,
    DatasetRef,
    DesiredState,
    ModelVersion,
    RetrainPolicy,
    RetrainPolicySpec,
    Routing,
    TrainerStatus,
    TrainingJob,
    TrainingJobSpec,
)
from sentops_core.domain.version_states import in_flight
from sentops_core.kube.agreed import CANCEL_ANNOTATION
from sentops_core.store.audit import Audit
from sentops_core.store.pool import Pool, transaction
from sentops_core.store.routing import RoutingTable
from sentops_core.store.training_jobs import TrainingEvent, TrainingJobs
from sentops_trainer.acceptance import require_cluster
from sentops_trainer.chosen_dataset import chosen_dataset
from sentops_trainer.cluster.custom_resources import CustomResources
from sentops_trainer.cluster.names import REQUESTED_BY_ANNOTATION
from sentops_trainer.cluster.serving import who_serves
from sentops_trainer.news import return_evidence
from sentops_trainer.wishes import (
    nothing_to_return_to,
    past_verification,
    require_approvable,
    require_archivable,
    require_live,
    require_promotable,
    version_to_return_to,
)


class ClusterControlPlane:
    """`changed` tells whether the mirror has something to look at.

    Each change is made inside the transaction of its audit line, last: what the API server refuses leaves no line.
    """

    def __init__(self, pool: Pool, resources: CustomResources, model_name: str) -> None:
        self._pool = pool
        self._resources = resources
        self._model_name = model_name
        self.changed = False

    # Training jobs

    async def dataset(self, dataset_id: str | None) -> tuple[str, DatasetRef]:
        async with transaction(self._pool) as connection:
            return await chosen_dataset(connection, dataset_id)

    def require_accepted(self, spec: TrainingJobSpec) -> None:
        require_cluster(spec)

    async def create_job(self, job: TrainingJob, *, actor: str) -> None:
        """The mirror writes its audit line, so that one whose answer was lost on its way to us has one as well."""
        await self._resources.create_job(job, {REQUESTED_BY_ANNOTATION: actor})
        self.changed = True

    async def jobs(self, limit: int) -> list[TrainingJob]:
        return (await self._resources.jobs())[:limit]

    async def job(self, name: str) -> TrainingJob:
        return await self._resources.job(name)

    async def events(self, name: str, *, after: int) -> list[TrainingEvent]:
        """As far as the mirror has seen the job."""
        await self._resources.job(name)
        async with transaction(self._pool) as connection:
            return await TrainingJobs(connection).events(name, after=after)

    async def log(self, name: str) -> str:
        await self._resources.job(name)
        return await self._resources.run_log(name)

    async def set_suspend(self, name: str, *, suspend: bool, actor: str) -> TrainingJob:
        action = "suspended" if suspend else "resumed"
        _require_unfinished(await self._resources.job(name), action)
        patch = {"spec": {"suspend": suspend}}
        return await self._change_job(name, patch, actor, f"training_job.{action}")

    async def cancel(self, name: str, *, actor: str) -> TrainingJob:
        job = await self._resources.job(name)
        _require_unfinished(job, "cancelled")
        patch = {
            "metadata": {
                "annotations": {
                    CANCEL_ANNOTATION: job.metadata.annotations.get(CANCEL_ANNOTATION, actor)
                }
            }
        }
        return await self._change_job(name, patch, actor, "training_job.cancelled")

    async def report_progress(self, name: str, token: str, progress: TrainerStatus) -> None:
        del token, progress
        raise NotFound(
            "In a cluster the operator takes reports of progress, at "
            f"/training-jobs/{self._resources.namespace}/{name}/progress of its Service."
        )

    async def _change_job(
        self, name: str, patch: Mapping[str, object], actor: str, action: str
    ) -> TrainingJob:
        async with transaction(self._pool) as connection:
            await Audit(connection).record(actor, action, name)
            job = await self._resources.patch_job(name, patch)
        self.changed = True
        return job

    # Model versions

    async def versions(self, limit: int) -> list[ModelVersion]:
        return (await self._resources.versions())[:limit]

    async def version(self, name: str) -> ModelVersion:
        return await self._resources.version(name)

    async def promote(
        self, name: str, *, actor: str, reason: str, force: bool, clear_quarantine: bool
    ) -> ModelVersion:
        version = await self._resources.version(name)
        require_promotable(version, reason=reason, force=force, clear_quarantine=clear_quarantine)
        approval = Approval(
            approved=True,
            by=actor,
            reason=reason,
            skip_steps=past_verification(version),
            clear_quarantine=clear_quarantine,
        )
        spec = {
            "desiredState": DesiredState.CHAMPION.value,
            "approval": approval.to_document(),
        }
        evidence = {"reason": reason, "force": force, "clearQuarantine": clear_quarantine}
        async with transaction(self._pool) as connection:
            await Audit(connection).record(
                actor, "model_version.promotion_requested", name, evidence
            )
            changed = await self._patch_spec(version, spec)
            if changed.metadata.generation == version.metadata.generation and not in_flight(
                version
            ):
                # Asked for once before in the same words: only a new generation is tried again.
                await self._patch_spec(version, {"approval": None})
                changed = await self._patch_spec(version, spec)
        self.changed = True
        return changed

    async def approve(self, name: str, *, actor: str, reason: str) -> ModelVersion:
        version = await self._resources.version(name)
        require_approvable(version)
        approval = Approval(approved=True, by=actor, reason=reason)
        spec = {"approval": approval.to_document()}
        return await self._change_version(version, spec, actor, "approved", {"reason": reason})

    async def archive(self, name: str, *, actor: str, reason: str) -> ModelVersion:
        version = await self._resources.version(name)
        serving = who_serves(await self._of_model(version))
        require_archivable(version, serving.champion.metadata.name if serving.champion else None)
        spec = {"desiredState": DesiredState.ARCHIVED.value}
        evidence = {"reason": reason}
        return await self._change_version(version, spec, actor, "archive_requested", evidence)

    async def roll_back(self, name: str, *, actor: str, reason: str) -> ModelVersion:
        """The wish is on the champion; the answer is the version that will serve."""
        version = await self._resources.version(name)
        require_live(version)
        target = version_to_return_to(name, await self._of_model(version))
        if target is None:
            raise nothing_to_return_to(name)
        why = f"Rolled back by {actor}{': ' + reason if reason else ''}."
        evidence = return_evidence(target.metadata.name, why, Reason.ROLLED_BACK)
        spec = {"desiredState": DesiredState.ARCHIVED.value}
        await self._change_version(version, spec, actor, "rolled_back", evidence)
        return await self._resources.version(target.metadata.name)

    # Retraining policies: people apply them, so that git or kubectl stays the one place where they are written

    async def policies(self) -> list[RetrainPolicy]:
        return await self._resources.policies()

    async def policy(self, name: str) -> RetrainPolicy:
        return await self._resources.policy(name)

    async def put_policy(
        self, name: str, spec: RetrainPolicySpec, *, generation: int | None, actor: str
    ) -> RetrainPolicy:
        del spec, generation, actor
        raise Conflict(
            "In a cluster a retraining policy is a RetrainPolicy resource: "
            f"change {name} with kubectl apply, or in the repository that Argo CD follows."
        )

    async def delete_policy(self, name: str, *, actor: str) -> None:
        del actor
        raise Conflict(
            "In a cluster a retraining policy is a RetrainPolicy resource: "
            f"kubectl delete retrainpolicy {name} -n {self._resources.namespace}."
        )

    # Who serves

    async def routing(self) -> Routing:
        """As the mirror keeps it: an API server that is away stops nobody from being answered."""
        async with transaction(self._pool) as connection:
            return (await RoutingTable(connection).get(self._model_name)).routing

    async def _of_model(self, version: ModelVersion) -> list[ModelVersion]:
        model_name = version.spec.model_name
        return [
            one for one in await self._resources.versions() if one.spec.model_name == model_name
        ]

    async def _patch_spec(self, version: ModelVersion, spec: Mapping[str, object]) -> ModelVersion:
        return await self._resources.patch_version(version.metadata.name, {"spec": spec})

    async def _change_version(
        self,
        version: ModelVersion,
        spec: Mapping[str, object],
        actor: str,
        action: str,
        evidence: dict[str, Any],
    ) -> ModelVersion:
        name = version.metadata.name
        async with transaction(self._pool) as connection:
            await Audit(connection).record(actor, f"model_version.{action}", name, evidence)
            changed = await self._patch_spec(version, spec)
        self.changed = True
        return changed


def _require_unfinished(job: TrainingJob, verb: str) -> None:
    phase = job.status.phase
    if phase.final:
        raise Conflict(
            f"Training job {job.metadata.name} is {phase.value.lower()} and cannot be {verb} any more."
        )
