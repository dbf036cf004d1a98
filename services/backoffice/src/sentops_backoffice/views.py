"""What the overview shows, read in one go: who serves, jobs, versions, datasets."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sentops_core.domain.conditions import Condition
from sentops_core.domain.resources import ModelVersion, ModelVersionPhase
from sentops_core.domain.version_states import in_flight, rollback_target
from sentops_core.store.datasets import Datasets, VersionRow
from sentops_core.store.model_versions import ModelVersionRow, ModelVersions
from sentops_core.store.pool import Connection
from sentops_core.store.routing import RoutingTable
from sentops_core.store.training_jobs import TrainingJobRow, TrainingJobs

_SHOWN = 20
_MAY_BE_PROMOTED = {
    ModelVersionPhase.PENDING,
    ModelVersionPhase.PAUSED,
    ModelVersionPhase.ARCHIVED,
    ModelVersionPhase.ROLLED_BACK,
}


@dataclass(frozen=True)
class Serving:
    name: str
    model_version: str
    weight: int
    shadow: bool


@dataclass(frozen=True)
class JobView:
    name: str
    phase: str
    open: bool
    dataset: str
    method: str
    progress: int | None
    seconds_left: int | None
    metrics: str
    message: str
    created_by: str
    created_at: datetime | None


@dataclass(frozen=True)
class VersionView:
    name: str
    phase: str
    champion: bool
    verdict: str
    reasons: tuple[str, ...]
    metrics: str
    training_job: str
    may_promote: bool
    may_roll_back: bool
    may_archive: bool


@dataclass(frozen=True)
class Overview:
    serving: tuple[Serving, ...]
    jobs: tuple[JobView, ...]
    versions: tuple[VersionView, ...]
    datasets: tuple[VersionRow, ...]


async def overview(connection: Connection, model_name: str) -> Overview:
    """The newest of each."""
    routing = await RoutingTable(connection).get(model_name)
    jobs = await TrainingJobs(connection).newest(_SHOWN)
    versions = await ModelVersions(connection).list_versions(model_name)
    target = rollback_target([row.version for row in versions], routing.champion or "")
    return Overview(
        serving=tuple(
            Serving(one.name, one.model_version, one.weight, one.shadow)
            for one in routing.routing.variants
        ),
        jobs=tuple(_job(row) for row in jobs),
        versions=tuple(
            _version(row, routing.champion, may_roll_back=target is not None)
            for row in versions[:_SHOWN]
        ),
        datasets=tuple(await Datasets(connection).versions(_SHOWN)),
    )


def _job(row: TrainingJobRow) -> JobView:
    job, status = row.job, row.job.status
    progress = status.trainer_status
    return JobView(
        name=job.metadata.name,
        phase=status.phase,
        open=not status.phase.final,
        dataset=row.dataset_version or "",
        method=job.spec.trainer.method,
        progress=progress.progress_percentage if progress else None,
        seconds_left=progress.estimated_remaining_seconds if progress else None,
        metrics=", ".join(f"{one.name} {one.value}" for one in progress.metrics[:4])
        if progress
        else "",
        message=_newest_message(status.conditions),
        created_by=row.created_by,
        created_at=job.metadata.creation_timestamp,
    )


def _version(row: ModelVersionRow, champion: str | None, *, may_roll_back: bool) -> VersionView:
    version: ModelVersion = row.version
    gate = version.spec.gate_result
    name = version.metadata.name
    # In a cluster, a row may outlive its resource.
    there = version.metadata.deletion_timestamp is None
    return VersionView(
        name=name,
        phase=version.status.phase,
        champion=name == champion,
        verdict=gate.verdict if gate else "",
        reasons=gate.reasons if gate else (),
        metrics=", ".join(f"{one.name} {one.value}" for one in gate.metrics) if gate else "",
        training_job=row.training_job or "",
        may_promote=there and name != champion and version.status.phase in _MAY_BE_PROMOTED,
        may_roll_back=there and name == champion and may_roll_back,
        may_archive=there and name != champion and in_flight(version),
    )


def _newest_message(conditions: Sequence[Condition]) -> str:
    newest = max(conditions, key=lambda one: one.last_transition_time, default=None)
    return newest.message if newest else ""
