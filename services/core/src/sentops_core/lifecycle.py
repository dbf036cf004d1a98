"""The one loop body of both substrates: observe, plan purely, carry out, save once."""

from datetime import datetime
from typing import Protocol

from sentops_core.domain import plan as training
from sentops_core.domain import rollout
from sentops_core.domain.plan import TrainingAction, TrainingObservation
from sentops_core.domain.resources import (
    ModelVersion,
    ModelVersionStatus,
    TrainingJob,
    TrainingJobStatus,
)
from sentops_core.domain.serving import ServingObservation, VersionAction


class Substrate(Protocol):
    """Where runs and models live: Kubernetes objects, or processes and rows of one machine.

    `carry_out_*` finding its work already done is success: a crash before `save_*` costs nothing.
    """

    async def observe_training(self, job: TrainingJob) -> TrainingObservation: ...
    async def carry_out_training(self, job: TrainingJob, action: TrainingAction) -> None: ...
    async def save_training(self, job: TrainingJob, status: TrainingJobStatus) -> None: ...
    async def observe_serving(self, version: ModelVersion) -> ServingObservation: ...
    async def carry_out_rollout(self, version: ModelVersion, action: VersionAction) -> None: ...
    async def save_rollout(self, version: ModelVersion, status: ModelVersionStatus) -> None: ...


async def converge_training_job(substrate: Substrate, job: TrainingJob, *, now: datetime) -> bool:
    """Bring one TrainingJob a step nearer to its spec; true if anything moved. Safe at any time."""
    step = training.plan(job, await substrate.observe_training(job), now=now)
    for action in step.actions:
        await substrate.carry_out_training(job, action)
    if step.status != job.status:
        await substrate.save_training(job, step.status)
    return bool(step.actions) or step.status != job.status


async def converge_model_version(
    substrate: Substrate, version: ModelVersion, *, now: datetime
) -> bool:
    """Bring one ModelVersion a step nearer to its spec; true if anything moved. Safe at any time."""
    step = rollout.plan(version, await substrate.observe_serving(version), now=now)
    for action in step.actions:
        await substrate.carry_out_rollout(version, action)
    if step.status != version.status:
        await substrate.save_rollout(version, step.status)
    return bool(step.actions) or step.status != version.status
