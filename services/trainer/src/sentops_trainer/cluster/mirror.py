"""One look at the cluster written into the tables: rows, events, audit lines, routing; each piece of news once."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import asyncpg
import structlog

from sentops_core.domain.conditions import Condition, ConditionStatus, find_condition, set_condition
from sentops_core.domain.errors import InvalidInput
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import (
    ModelVersion,
    ModelVersionStatus,
    RetrainPolicy,
    TrainingJob,
    TrainingJobPhase,
    TrainingJobStatus,
)
from sentops_core.domain.resources import ModelVersionPhase as Phase
from sentops_core.kube import Manifest
from sentops_core.kube.agreed import CANCEL_ANNOTATION
from sentops_core.store.audit import Audit
from sentops_core.store.mirror import Mirror
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.pool import Connection
from sentops_core.store.retrain_policies import RetrainPolicies
from sentops_core.store.routing import RoutingTable
from sentops_core.store.training_jobs import TrainingJobs
from sentops_trainer.cluster.custom_resources import parse
from sentops_trainer.cluster.names import FIELD_MANAGER, REQUESTED_BY_ANNOTATION
from sentops_trainer.cluster.seen_wishes import (
    SeenWish,
    manager_of,
    wishes_of_job,
    wishes_of_version,
)
from sentops_trainer.cluster.serving import returned_to, route
from sentops_trainer.news import (
    finished_evidence,
    moved,
    phase_action,
    phase_evidence,
    progress_message,
    return_evidence,
)

log = structlog.get_logger()

OPERATOR = "operator"  # the actor of what the statuses tell
SOMEBODY = "cluster"  # of what was done with the custom resources themselves, past our API
# One object that cannot be stored must not keep the others out.
_UNFIT = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError, InvalidInput)


class MirrorRound:
    """Writes in the caller's transaction. `known` tells which state of each object is in the tables already."""

    def __init__(self, connection: Connection, namespace: str, known: dict[str, str]) -> None:
        self._connection = connection
        self._namespace = namespace
        self._known = known
        self._mirror = Mirror(connection)
        self._jobs = TrainingJobs(connection)
        self._versions = ModelVersions(connection)
        self._policies = RetrainPolicies(connection)
        self._audit = Audit(connection)
        self._there: Sequence[ModelVersion] = ()
        self.mirrored: dict[str, str] = {}  # what is known once the transaction is committed

    async def take(
        self,
        jobs: Sequence[Manifest],
        versions: Sequence[Manifest],
        readable: Sequence[ModelVersion],
    ) -> None:
        """`readable`: those of the versions that can be read."""
        self._there = readable
        now = datetime.now(UTC)
        for manifest in self._news(jobs):
            async with self._storing(manifest):
                await self._take_job(parse(TrainingJob, manifest), manifest)
        for manifest in self._news(versions):
            async with self._storing(manifest):
                await self._take_version(parse(ModelVersion, manifest), manifest)
        for name in await self._mirror.mark_jobs_gone(self._namespace, _names(jobs), now):
            await self._end_job(name, now)
        for name in await self._mirror.mark_versions_gone(self._namespace, _names(versions), now):
            await self._audit.record(SOMEBODY, "model_version.deleted", name)

    async def take_policies(self, policies: Sequence[Manifest]) -> None:
        for manifest in self._news(policies):
            async with self._storing(manifest):
                await self._take_policy(parse(RetrainPolicy, manifest), manifest)
        for name in await self._policies.delete_gone(self._namespace, _names(policies)):
            await self._audit.record(SOMEBODY, "retrain_policy.deleted", name)

    async def take_routing(self, versions: Sequence[ModelVersion]) -> None:
        """The revision moves only when the answer does."""
        table = RoutingTable(self._connection)
        # Also those without any version left: what was deleted in the middle of a canary gets no share.
        of_model: dict[str, list[ModelVersion]] = {name: [] for name in await table.models()}
        for version in versions:
            of_model.setdefault(version.spec.model_name, []).append(version)
        for model_name, of_this in of_model.items():
            wanted = route(of_this, await table.get(model_name), self._namespace)
            if wanted.champion is None or await self._versions.find(wanted.champion) is None:
                continue
            await table.save(
                model_name,
                wanted.variants,
                champion=wanted.champion,
                previous_champion=wanted.previous_champion,
            )
        await self._mirror.archive_gone_versions(self._namespace)

    def _news(self, manifests: Sequence[Manifest]) -> Iterator[Manifest]:
        """Those whose state the tables lack."""
        for manifest in manifests:
            uid, state = manifest["metadata"]["uid"], manifest["metadata"]["resourceVersion"]
            self.mirrored[uid] = state
            if self._known.get(uid) != state:
                yield manifest

    @asynccontextmanager
    async def _storing(self, manifest: Manifest) -> AsyncIterator[None]:
        """What cannot be stored is left out until it changes, and said."""
        try:
            async with self._connection.transaction():
                yield
        except _UNFIT as error:
            name = manifest["metadata"]["name"]
            log.warning("not_mirrored", kind=manifest["kind"], name=name, error=str(error))

    async def _take_job(self, job: TrainingJob, manifest: Manifest) -> None:
        made_by = _made_by(manifest)
        name, annotations = job.metadata.name, job.metadata.annotations
        row = await self._jobs.find(name)
        before = TrainingJobStatus()
        if row is not None and row.job.metadata.uid == job.metadata.uid:
            before = row.job.status
        actor = annotations.get(REQUESTED_BY_ANNOTATION, made_by)
        await self._mirror.put_job(
            job, created_by=actor, cancel_requested=CANCEL_ANNOTATION in annotations
        )
        if row is None or row.job.metadata.uid != job.metadata.uid:
            await self._greet_job(job, actor, made_by)
        else:
            cancelled = CANCEL_ANNOTATION in annotations and not row.cancel_requested
            wishes = wishes_of_job(row.job.spec, job.spec, cancelled=cancelled)
            await self._tell_of_wishes(name, wishes, manifest)
        await self._tell_of_job(name, before, job.status)

    async def _greet_job(self, job: TrainingJob, actor: str, made_by: str) -> None:
        name, at = job.metadata.name, job.metadata.creation_timestamp
        await self._jobs.add_event(name, Reason.CREATED, f"Asked for by {actor}.", at=at)
        # Anybody can write an annotation, so the line also says what the API server saw.
        evidence = {"spec": job.spec.to_document(), "madeWith": made_by}
        await self._audit.record(actor, "training_job.created", name, evidence)

    async def _tell_of_job(
        self, name: str, before: TrainingJobStatus, status: TrainingJobStatus
    ) -> None:
        news = moved(before.conditions, status.conditions)
        for condition in sorted(news, key=lambda one: one.last_transition_time):
            at = _when(before.conditions, condition)
            await self._jobs.add_event(name, condition.reason, condition.message, at=at)
        progress = status.trainer_status
        if progress is not None and progress != before.trainer_status:
            message, document = progress_message(progress), progress.to_document()
            at = progress.last_updated_time
            await self._jobs.add_progress(name, message, document, at=at)
        if status.phase.final and not before.phase.final:
            evidence = finished_evidence(status)
            await self._audit.record(OPERATOR, "training_job.finished", name, evidence)

    async def _end_job(self, name: str, now: datetime) -> None:
        """Deleted from the cluster: what was open ended there, and its history stays here."""
        status = (await self._jobs.get(name)).job.status
        message = "The TrainingJob was deleted from the cluster."
        if not status.phase.final:
            conditions = set_condition(
                status.conditions,
                "Failed",
                ConditionStatus.TRUE,
                Reason.CANCELLED,
                message,
                now=now,
                observed_generation=status.observed_generation,
            )
            ended = {
                "phase": TrainingJobPhase.FAILED,
                "completion_time": now,
                "conditions": conditions,
            }
            await self._jobs.save_status(name, status.model_copy(update=ended))
            await self._jobs.add_event(name, Reason.CANCELLED, message)
        await self._audit.record(SOMEBODY, "training_job.deleted", name)

    async def _take_version(self, version: ModelVersion, manifest: Manifest) -> None:
        made_by = _made_by(manifest)
        name, status = version.metadata.name, version.status
        row = await self._versions.find(name)
        before = ModelVersionStatus()
        if row is not None and row.version.metadata.uid == version.metadata.uid:
            before = row.version.status
        else:
            row = None
        await self._mirror.put_version(version, created_by=made_by)
        if row is None:
            gate = version.spec.gate_result
            evidence: dict[str, object] = {
                "digest": version.spec.artifact.digest,
                "desiredState": version.spec.desired_state.value,
                "gateResult": gate.to_document() if gate else None,
            }
            await self._audit.record(made_by, "model_version.registered", name, evidence)
        else:
            wishes = wishes_of_version(row.version.spec, version.spec)
            await self._tell_of_wishes(name, wishes, manifest)
        if status.phase is not before.phase:
            await self._tell_of_version(version, before)

    async def _take_policy(self, policy: RetrainPolicy, manifest: Manifest) -> None:
        """What was decided is told by whoever decides."""
        name, evidence = policy.metadata.name, {"spec": policy.spec.to_document()}
        made_by, row = _made_by(manifest), await self._policies.find(name)
        if row is not None and row.policy.metadata.uid != policy.metadata.uid:
            row = None
        await self._policies.mirror(policy, created_by=row.created_by if row else made_by)
        if row is None:
            await self._audit.record(made_by, "retrain_policy.created", name, dict(evidence))
        elif row.policy.spec != policy.spec:
            actor = manager_of(manifest, ("spec",)) or SOMEBODY
            before = {"before": row.policy.spec.to_document()}
            await self._audit.record(actor, "retrain_policy.changed", name, evidence | before)

    async def _tell_of_wishes(
        self, name: str, wishes: Sequence[SeenWish], manifest: Manifest
    ) -> None:
        """Our API writes the lines of its own."""
        for wish in wishes:
            actor = manager_of(manifest, wish.path)
            if actor != FIELD_MANAGER:
                await self._audit.record(actor or SOMEBODY, wish.action, name, wish.evidence)

    async def _tell_of_version(self, version: ModelVersion, before: ModelVersionStatus) -> None:
        name, status = version.metadata.name, version.status
        damaged = before.phase is Phase.LIVE and status.phase is Phase.QUARANTINED
        returned = damaged or status.phase is Phase.ROLLED_BACK
        if returned:
            await self._tell_of_return(version, before)
        if status.phase is not Phase.ROLLED_BACK:
            evidence = phase_evidence(before, status)
            await self._audit.record(OPERATOR, phase_action(status.phase), name, evidence)

    async def _tell_of_return(self, version: ModelVersion, before: ModelVersionStatus) -> None:
        """The line that one machine writes; a person's, asked for through our API, is there already."""
        name, status = version.metadata.name, version.status
        action, since = phase_action(Phase.ROLLED_BACK), before.phase_started_at
        lines = await self._audit.newest(subject=name)
        if any(line.action == action and (since is None or line.at >= since) for line in lines):
            return
        of_model = [one for one in self._there if one.spec.model_name == version.spec.model_name]
        to, ready = returned_to(name, of_model), find_condition(status.conditions, "Ready")
        if to is None and status.phase is Phase.QUARANTINED:
            return  # nothing to return to
        why, reason = (ready.message, ready.reason) if ready else ("", Reason.ROLLED_BACK)
        await self._audit.record(OPERATOR, action, name, return_evidence(to, why, reason))


def _names(manifests: Sequence[Manifest]) -> list[str]:
    return [manifest["metadata"]["name"] for manifest in manifests]


def _made_by(manifest: Manifest) -> str:
    """The program that made the object, as the API server noted: kubectl, helm, sentops-operator, ..."""
    fields = manifest["metadata"].get("managedFields") or ()
    made = (one.get("manager") for one in fields if not one.get("subresource"))
    return str(next(made, None) or SOMEBODY)


def _when(before: Sequence[Condition], condition: Condition) -> datetime | None:
    """When the condition's status moved; a new reason alone has no date of its own."""
    old = find_condition(before, condition.type)
    same = old is not None and old.status is condition.status
    return None if same else condition.last_transition_time
