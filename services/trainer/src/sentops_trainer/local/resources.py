"""The rows behind the resources of one machine: every change with its event or its audit line, in one transaction."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

from sentops_core.domain.errors import NotFound
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import (
    Approval,
    DatasetRef,
    DesiredState,
    ModelVersion,
    ModelVersionPhase,
    ModelVersionStatus,
    RetrainPolicy,
    RetrainPolicySpec,
    TrainerStatus,
    TrainingJob,
    TrainingJobStatus,
)
from sentops_core.domain.version_states import hurried, in_flight, recalled, rolled_back
from sentops_core.store.audit import Audit
from sentops_core.store.datasets import Datasets
from sentops_core.store.feedback import Feedback
from sentops_core.store.model_versions import ModelVersionRow, ModelVersions
from sentops_core.store.pool import Connection
from sentops_core.store.retrain_policies import RetrainPolicies
from sentops_core.store.routing import RoutingRow, RoutingTable
from sentops_core.store.training_jobs import TrainingEvent, TrainingJobRow, TrainingJobs
from sentops_trainer.chosen_dataset import chosen_dataset
from sentops_trainer.news import (
    finished_evidence,
    moved,
    phase_action,
    phase_evidence,
    progress_message,
    return_evidence,
)
from sentops_trainer.variants import variant_of
from sentops_trainer.wishes import (
    nothing_to_return_to,
    past_verification,
    require_approvable,
    require_archivable,
    require_live,
    require_promotable,
    version_to_return_to,
)


class Resources:
    """Training jobs, model versions and routing, within the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._jobs = TrainingJobs(connection)
        self._versions = ModelVersions(connection)
        self._routing = RoutingTable(connection)
        self._datasets = Datasets(connection)
        self._feedback = Feedback(connection)
        self._policies = RetrainPolicies(connection)
        self._audit = Audit(connection)

    # Training jobs

    async def dataset(self, dataset_id: str | None) -> tuple[str, DatasetRef]:
        return await chosen_dataset(self._connection, dataset_id)

    async def create_job(self, job: TrainingJob, *, actor: str) -> None:
        job = _with_identity(job, datetime.now(UTC))
        dataset = await self._datasets.with_content(job.spec.dataset.content_hash)
        await self._jobs.create(
            job, created_by=actor, dataset_version=dataset.name if dataset else None
        )
        await self._jobs.add_event(job.metadata.name, Reason.CREATED, f"Asked for by {actor}.")
        await self._audit.record(
            actor, "training_job.created", job.metadata.name, {"spec": job.spec.to_document()}
        )

    async def jobs(self, limit: int) -> list[TrainingJob]:
        return [row.job for row in await self._jobs.newest(limit)]

    async def open_jobs(self) -> list[TrainingJob]:
        return [row.job for row in await self._jobs.list_open()]

    async def expired_jobs(self, names: Sequence[str], now: datetime) -> list[TrainingJob]:
        return [await self.job(name) for name in await self._jobs.expired(names, now)]

    async def job(self, name: str) -> TrainingJob:
        return (await self._jobs.get(name)).job

    async def job_row(self, name: str) -> TrainingJobRow:
        return await self._jobs.get(name)

    async def events(self, name: str, *, after: int) -> list[TrainingEvent]:
        return await self._jobs.events(name, after=after)

    async def set_suspend(self, name: str, *, suspend: bool, actor: str) -> TrainingJob:
        row = await self._jobs.set_suspend(name, suspend=suspend)
        action = "training_job.suspended" if suspend else "training_job.resumed"
        await self._audit.record(actor, action, name)
        return row.job

    async def cancel(self, name: str, *, actor: str) -> TrainingJob:
        row = await self._jobs.request_cancel(name)
        await self._audit.record(actor, "training_job.cancelled", name)
        return row.job

    async def add_progress_event(self, name: str, progress: TrainerStatus) -> None:
        await self._jobs.add_progress(name, progress_message(progress), progress.to_document())

    async def save_job_status(
        self, job: TrainingJob, status: TrainingJobStatus, *, seen: datetime | None, actor: str
    ) -> datetime:
        """Store the status and an event for each condition that moved; gives the new `updated_at`."""
        name = job.metadata.name
        row = await self._jobs.save_status(name, status, seen=seen)
        for condition in moved(job.status.conditions, status.conditions):
            await self._jobs.add_event(name, condition.reason, condition.message)
        if status.phase.final and not job.status.phase.final:
            await self._audit.record(
                actor, "training_job.finished", name, finished_evidence(status)
            )
        return row.updated_at

    # Model versions

    async def versions(self, model_name: str | None) -> list[ModelVersion]:
        return [row.version for row in await self._versions.list_versions(model_name)]

    async def version(self, name: str) -> ModelVersion:
        return (await self._versions.get(name)).version

    async def version_row(self, name: str) -> ModelVersionRow:
        return await self._versions.get(name)

    async def version_of_job(self, job_name: str) -> str | None:
        row = await self._versions.of_training_job(job_name)
        return row.version.metadata.name if row else None

    async def next_version(self, model_name: str) -> int:
        return await self._versions.next_number(model_name)

    async def create_version(self, version: ModelVersion, *, actor: str) -> None:
        job = version.spec.training_job_ref
        await self._versions.create(
            version, created_by=actor, training_job=job.name if job else None
        )
        gate = version.spec.gate_result
        evidence = {
            "digest": version.spec.artifact.digest,
            "desiredState": version.spec.desired_state.value,
            "gateResult": gate.to_document() if gate else None,
        }
        await self._audit.record(actor, "model_version.registered", version.metadata.name, evidence)

    async def save_version_status(
        self,
        version: ModelVersion,
        status: ModelVersionStatus,
        *,
        seen: datetime | None,
        actor: str,
    ) -> datetime:
        """Store the status; a change of phase is audited. Gives the new `updated_at`."""
        name = version.metadata.name
        stored = (await self.version(name)).status.phase
        row = await self._versions.save_status(name, status, seen=seen)
        # A return to the version before was written down by recall_previous, with where it led.
        told = stored is status.phase is ModelVersionPhase.ROLLED_BACK
        if status.phase is not version.status.phase and not told:
            evidence = phase_evidence(version.status, status)
            await self._audit.record(actor, phase_action(status.phase), name, evidence)
        return row.updated_at

    async def promote(
        self, name: str, *, actor: str, reason: str, force: bool, clear_quarantine: bool
    ) -> ModelVersion:
        """Ask for this version to serve. Conflict says what stands against it."""
        version = (await self._versions.locked(name)).version
        require_promotable(version, reason=reason, force=force, clear_quarantine=clear_quarantine)
        await self._versions.set_desired_state(name, DesiredState.CHAMPION)
        await self._bring_up(version, f"Promoted by {actor}.")
        evidence = {"reason": reason, "force": force, "clearQuarantine": clear_quarantine}
        await self._audit.record(actor, "model_version.promotion_requested", name, evidence)
        return await self.version(name)

    async def approve(self, name: str, *, actor: str, reason: str) -> ModelVersion:
        """A person's yes to a candidate that waits for one, whatever the gate could not tell."""
        version = (await self._versions.locked(name)).version
        require_approvable(version)
        approval = Approval(approved=True, by=actor, reason=reason)
        await self._versions.set_approval(name, approval)
        await self._audit.record(actor, "model_version.approved", name, {"reason": reason})
        return await self.version(name)

    async def roll_back(self, name: str, *, actor: str, reason: str) -> ModelVersion:
        """Return from this champion to the one before; Conflict when it is not live or nothing came before."""
        version = (await self._versions.locked(name)).version
        require_live(version)
        message = f"Rolled back by {actor}{': ' + reason if reason else ''}."
        target = await self.recall_previous(
            version, message, actor=actor, reason=Reason.ROLLED_BACK
        )
        if target is None:
            raise nothing_to_return_to(name)
        return await self.version(target)

    async def archive(self, name: str, *, actor: str, reason: str) -> ModelVersion:
        """Out of the running: a canary is taken back, a candidate is not offered any more."""
        version = (await self._versions.locked(name)).version
        require_archivable(version, (await self.routed(version.spec.model_name)).champion)
        await self._versions.set_desired_state(name, DesiredState.ARCHIVED)
        await self._audit.record(actor, "model_version.archive_requested", name, {"reason": reason})
        return await self.version(name)

    async def recall_previous(
        self, champion: ModelVersion, message: str, *, actor: str, reason: Reason
    ) -> str | None:
        """Mark the champion as rolled back and ask for its predecessor; gives its name, if there is one."""
        versions = await self.versions(champion.spec.model_name)
        name = champion.metadata.name
        target = version_to_return_to(name, versions)
        if target is None:
            return None
        status = rolled_back(champion.status, message, reason=reason, now=datetime.now(UTC))
        await self._versions.save_status(name, status)
        await self._recall(target, message)
        evidence = return_evidence(target.metadata.name, message, reason)
        action = phase_action(ModelVersionPhase.ROLLED_BACK)
        await self._audit.record(actor, action, name, evidence)
        return target.metadata.name

    async def _bring_up(self, version: ModelVersion, message: str) -> None:
        """From the start, unless it is on its way: then what remains of its canary is left out."""
        if version.status.phase is ModelVersionPhase.LIVE:
            return  # up already: what was asked of it is taken back
        if not in_flight(version):
            await self._recall(version, message)
        elif past_verification(version):
            status = hurried(version, message, now=datetime.now(UTC))
            await self._versions.save_status(version.metadata.name, status)

    async def _recall(self, version: ModelVersion, message: str) -> None:
        name = version.metadata.name
        status = recalled(
            (await self._versions.locked(name)).version.status, message, now=datetime.now(UTC)
        )
        await self._versions.save_status(name, status)

    # Retraining policies

    async def policies(self) -> list[RetrainPolicy]:
        return [row.policy for row in await self._policies.all()]

    async def policy(self, name: str) -> RetrainPolicy:
        return (await self._policies.get(name)).policy

    async def put_policy(
        self, name: str, spec: RetrainPolicySpec, *, generation: int | None, actor: str
    ) -> RetrainPolicy:
        """Made, or given this spec; `generation` is the one that was looked at. The same spec is no change."""
        evidence: dict[str, object] = {"spec": spec.to_document()}
        row = await self._policies.find(name)
        if row is None:
            policy = await self._policies.create(name, spec, created_by=actor)
            await self._audit.record(actor, "retrain_policy.created", name, evidence)
            return policy
        before = row.policy
        if before.spec == spec:
            return before
        evidence["before"] = before.spec.to_document()
        seen = before.metadata.generation if generation is None else generation
        policy = await self._policies.change(name, spec, generation=seen)
        await self._audit.record(actor, "retrain_policy.changed", name, evidence)
        return policy

    async def delete_policy(self, name: str, *, actor: str) -> None:
        """Trainings that it started go on."""
        policy = await self.policy(name)
        await self._policies.delete(name)
        evidence: dict[str, object] = {"spec": policy.spec.to_document()}
        await self._audit.record(actor, "retrain_policy.deleted", name, evidence)

    # Routing

    async def champions(self) -> list[str]:
        return await self._routing.champions()

    async def routed(self, model_name: str) -> RoutingRow:
        return await self._routing.get(model_name)

    async def champion(self, model_name: str) -> ModelVersion | None:
        """The version that everyone, or everyone but a canary's share, is routed to."""
        name = (await self.routed(model_name)).champion
        return await self.version(name) if name is not None else None

    async def route_to_champion(self, version: ModelVersion, model_url: str) -> None:
        """Everything to this version; whoever was champion before is remembered."""
        name, model_name = version.metadata.name, version.spec.model_name
        before = await self.routed(model_name)
        previous = before.previous_champion if before.champion == name else before.champion
        await self._routing.save(
            model_name,
            [variant_of(version, "champion", model_url, 100)],
            champion=name,
            previous_champion=previous,
        )

    async def route_to_both(
        self, candidate: ModelVersion, model_url: str, weight: int, *, shadow: bool
    ) -> None:
        """This share to the candidate, the rest to the champion; a shadow gets silent copies instead."""
        before = await self.routed(candidate.spec.model_name)
        if before.champion is None:
            raise NotFound("There is no champion to compare a candidate with.")
        champion = await self.version(before.champion)
        url = f"{model_url}/slots/candidate"
        variants = [
            variant_of(champion, "champion", model_url, 100 - weight),
            variant_of(candidate, "candidate", url, weight, shadow=shadow),
        ]
        await self._routing.save(
            candidate.spec.model_name,
            variants,
            champion=before.champion,
            previous_champion=before.previous_champion,
        )

    async def votes_since(self, moment: datetime) -> dict[str, tuple[int, int]]:
        """Per version: (votes that agree with it, votes)."""
        votes = await self._feedback.by_version(moment)
        return {one.model_version: (one.right, one.votes) for one in votes}


def _with_identity(job: TrainingJob, now: datetime) -> TrainingJob:
    """What the API server of a cluster would fill in."""
    fields = {
        "uid": str(uuid4()),
        "generation": 1,
        "resource_version": None,
        "creation_timestamp": now,
        "deletion_timestamp": None,
    }
    return job.model_copy(update={"metadata": job.metadata.model_copy(update=fields)})
