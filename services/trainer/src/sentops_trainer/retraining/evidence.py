"""What is known when a policy is looked at, of the tables and of the substrate."""

from collections.abc import Iterable

from sentops_core.domain.resources import (
    ModelVersion,
    ModelVersionPhase,
    RetrainPolicy,
    RetrainStart,
    TrainingJob,
)
from sentops_core.domain.retrain import DriftFigure, Evidence
from sentops_core.domain.version_states import in_flight, is_wanted
from sentops_core.store.datasets import Datasets
from sentops_core.store.pool import Pool, transaction
from sentops_core.store.retrain_evidence import RetrainEvidence
from sentops_core.store.routing import RoutingTable
from sentops_trainer.retraining.substrate import PolicySubstrate


async def gather(pool: Pool, substrate: PolicySubstrate, policy: RetrainPolicy) -> Evidence:
    name, model_name = policy.metadata.name, policy.spec.model_name
    triggers = policy.spec.triggers
    jobs = await substrate.open_jobs(model_name)
    versions = await substrate.versions(model_name)
    there = await substrate.starts(name)
    async with transaction(pool) as connection:
        table = RetrainEvidence(connection)
        newest = await Datasets(connection).latest()
        champion = (await RoutingTable(connection).get(model_name)).champion
        quality = None
        drift: tuple[DriftFigure, ...] = ()
        if champion is not None and (wanted := triggers.quality) is not None:
            quality = await table.quality(champion, wanted.window, wanted.metric)
        if champion is not None and (watched := triggers.drift) is not None:
            drift = await table.drift(champion, watched.window, watched.windows)
        return Evidence(
            champion=champion,
            dataset=newest.name if newest else None,
            new_labels=await table.new_labels(newest),
            quality=quality,
            drift=drift,
            in_flight=under_way(jobs, versions),
            starts=_together(policy.status.recent_starts, await table.starts(name), there),
        )


def under_way(jobs: Iterable[TrainingJob], versions: Iterable[ModelVersion]) -> tuple[str, ...]:
    """Trainings that are not finished, and what came of one and is on its way to serve."""
    going = [job.metadata.name for job in jobs]
    for version in versions:
        called = version.status.phase is ModelVersionPhase.PENDING and is_wanted(version)
        if called or in_flight(version):
            going.append(version.metadata.name)
    return tuple(going)


def _together(*known: Iterable[RetrainStart]) -> tuple[RetrainStart, ...]:
    """Each training once. What the substrate says of it is the last word; the status remembers what was deleted."""
    by_name: dict[str, RetrainStart] = {}
    for starts in known:
        for start in starts:
            before = by_name.get(start.name)
            trigger = start.trigger or (before.trigger if before else None)
            by_name[start.name] = start.model_copy(update={"trigger": trigger})
    return tuple(sorted(by_name.values(), key=lambda one: (one.at, one.name)))
