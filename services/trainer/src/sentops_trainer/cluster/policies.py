"""Retraining policies of a cluster: custom resources, whose status only this loop writes."""

from datetime import UTC, datetime

from pydantic import ValidationError

from sentops_core.domain.errors import InvalidInput
from sentops_core.domain.resources import (
    ModelVersion,
    RetrainPolicy,
    RetrainPolicyStatus,
    RetrainStart,
    TrainingJob,
)
from sentops_core.domain.retrain import POLICY_LABEL
from sentops_core.domain.retrain_status import invalid
from sentops_core.kube import Manifest
from sentops_core.store.audit import Audit
from sentops_core.store.pool import Pool, transaction
from sentops_trainer.cluster.custom_resources import CustomResources, parse
from sentops_trainer.retraining.substrate import AuditLine, actor_of


class ClusterPolicies:
    def __init__(self, pool: Pool, resources: CustomResources) -> None:
        self._pool = pool
        self._resources = resources

    async def policies(self) -> list[RetrainPolicy]:
        found = []
        for manifest in await self._resources.policy_manifests():
            if manifest["metadata"].get("deletionTimestamp"):
                continue
            try:
                found.append(parse(RetrainPolicy, manifest))
            except InvalidInput as error:
                await self._say_invalid(manifest, str(error))
        return sorted(found, key=lambda one: one.metadata.name)

    async def open_jobs(self, model_name: str) -> list[TrainingJob]:
        return [
            job
            for job in await self._resources.jobs()
            if job.spec.model_name == model_name and not job.status.phase.final
        ]

    async def versions(self, model_name: str) -> list[ModelVersion]:
        return [
            version
            for version in await self._resources.versions()
            if version.spec.model_name == model_name
        ]

    async def starts(self, policy_name: str) -> list[RetrainStart]:
        """The mirror may not have seen the newest one."""
        return [
            RetrainStart(at=job.metadata.creation_timestamp, name=job.metadata.name)
            for job in await self._resources.jobs()
            if job.metadata.labels.get(POLICY_LABEL) == policy_name
            and job.metadata.creation_timestamp is not None
        ]

    async def save(
        self, policy: RetrainPolicy, status: RetrainPolicyStatus, line: AuditLine | None
    ) -> RetrainPolicy:
        """The status last: what the API server refuses leaves no line."""
        name = policy.metadata.name
        async with transaction(self._pool) as connection:
            if line is not None:
                await Audit(connection).record(actor_of(policy), line.action, name, line.evidence)
            return await self._resources.save_policy_status(
                name, status, resource_version=policy.metadata.resource_version
            )

    async def _say_invalid(self, manifest: Manifest, why: str) -> None:
        """Our schema refuses such a spec; an older one may have let it in."""
        try:
            before = RetrainPolicyStatus.model_validate(manifest.get("status") or {})
        except ValidationError:
            before = RetrainPolicyStatus()
        metadata = manifest["metadata"]
        generation = int(metadata.get("generation") or 1)
        status = invalid(before, generation, why, datetime.now(UTC))
        if status != before:
            await self._resources.write_policy_status(
                str(metadata["name"]), status, resource_version=metadata["resourceVersion"]
            )
