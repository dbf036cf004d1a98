"""What the API asks of a substrate: rows and processes of one machine, or custom resources of a cluster."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

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
from sentops_trainer.retraining.substrate import PolicySubstrate


class ControlPlane(Protocol):
    """Every deed is written to the audit log with its `actor`; what stands against one is a Conflict."""

    # Training jobs
    async def dataset(self, dataset_id: str | None) -> tuple[str, DatasetRef]: ...
    def require_accepted(self, spec: TrainingJobSpec) -> None: ...
    async def create_job(self, job: TrainingJob, *, actor: str) -> None: ...
    async def jobs(self, limit: int) -> list[TrainingJob]: ...
    async def job(self, name: str) -> TrainingJob: ...
    async def events(self, name: str, *, after: int) -> list[TrainingEvent]: ...
    async def log(self, name: str) -> str: ...
    async def set_suspend(self, name: str, *, suspend: bool, actor: str) -> TrainingJob: ...
    async def cancel(self, name: str, *, actor: str) -> TrainingJob: ...
    async def report_progress(self, name: str, token: str, progress: TrainerStatus) -> None: ...

    # Model versions
    async def versions(self, limit: int) -> list[ModelVersion]: ...
    async def version(self, name: str) -> ModelVersion: ...
    async def promote(
        self, name: str, *, actor: str, reason: str, force: bool, clear_quarantine: bool
    ) -> ModelVersion: ...
    async def approve(self, name: str, *, actor: str, reason: str) -> ModelVersion: ...
    async def archive(self, name: str, *, actor: str, reason: str) -> ModelVersion: ...
    async def roll_back(self, name: str, *, actor: str, reason: str) -> ModelVersion: ...

    # Retraining policies
    async def policies(self) -> list[RetrainPolicy]: ...
    async def policy(self, name: str) -> RetrainPolicy: ...
    async def put_policy(
        self, name: str, spec: RetrainPolicySpec, *, generation: int | None, actor: str
    ) -> RetrainPolicy: ...
    async def delete_policy(self, name: str, *, actor: str) -> None: ...

    # Who serves
    async def routing(self) -> Routing: ...


# Opened for one request: what it changed stands when the block has ended without an error.
OpenControlPlane: TypeAlias = Callable[[], AbstractAsyncContextManager[ControlPlane]]


class Loop(Protocol):
    """The work behind the API; `patience` is how long a round may take before it counts as stuck.

    `needed_to_serve`: while it is stuck, what the API answers cannot be relied on.
    """

    patience: timedelta
    needed_to_serve: bool
    last_round_at: datetime | None
    trouble: str

    async def run(self) -> None: ...


@dataclass(frozen=True)
class Substrate:
    """An opened substrate: what requests use, and what runs beside them."""

    control_plane: OpenControlPlane
    loop: Loop
    retrain_policies: PolicySubstrate
