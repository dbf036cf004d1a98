"""LocalSubstrate: resources are rows, runs are processes, models sit in the slots of one server."""

from datetime import UTC, datetime
from typing import assert_never

import structlog

from sentops_core.domain.analysis import compare_votes
from sentops_core.domain.derived import (
    name_of_version,
    registered_spec,
    to_champion_ref,
    to_run_spec,
)
from sentops_core.domain.errors import ArtifactError, InvalidInput
from sentops_core.domain.plan import (
    CleanUp,
    RegisterVersion,
    StartRun,
    StopRun,
    TrainingAction,
    TrainingObservation,
)
from sentops_core.domain.resources import (
    AnalysisResult,
    Metadata,
    ModelVersion,
    ModelVersionStatus,
    TrainingJob,
    TrainingJobStatus,
)
from sentops_core.domain.serving import (
    DropCandidate,
    LoadCandidate,
    ReloadChampion,
    ReturnToPrevious,
    RouteCandidate,
    ServingObservation,
    Slot,
    SlotState,
    SwitchChampion,
    VersionAction,
)
from sentops_core.domain.version_states import in_flight, rollback_target, settled
from sentops_core.store.pool import Pool, transaction
from sentops_trainer.acceptance import require_one_machine
from sentops_trainer.local.model_slots import ModelSlots, SlotName
from sentops_trainer.local.processes import Processes
from sentops_trainer.local.resources import Resources

log = structlog.get_logger()

SYSTEM = "sentops"  # the actor of what nobody asked for by hand


class LocalSubstrate:
    """Carries the actions of plan and roll-out out on one machine."""

    def __init__(
        self,
        pool: Pool,
        processes: Processes,
        slots: ModelSlots,
        *,
        model_url: str,
        model_name: str,
    ) -> None:
        self._pool = pool
        self._processes = processes
        self._slots = slots
        self._model_url = model_url
        self._model_name = model_name
        # Why the server refused a digest; lost on a restart, when it is simply asked again.
        self._refused: dict[str, str] = {}
        # When each resource was last changed as we saw it: saving over somebody else's change is refused.
        self._seen: dict[str, datetime] = {}

    # Training jobs

    async def observe_training(self, job: TrainingJob) -> TrainingObservation:
        name = job.metadata.name
        run = self._processes.observe(name)
        async with transaction(self._pool) as connection:
            resources = Resources(connection)
            champion = await resources.champion(job.spec.model_name)
            version_name = await resources.version_of_job(name)
            cancel_requested = (await resources.job_row(name)).cancel_requested
        return TrainingObservation(
            run=run,
            champion=to_champion_ref(champion),
            version_name=version_name,
            capacity=not (self._processes.active_jobs() - {name}),
            cancel_requested=cancel_requested,
            spec_error=_spec_error(job, self._model_name),
        )

    async def carry_out_training(self, job: TrainingJob, action: TrainingAction) -> None:
        name = job.metadata.name
        match action:
            case StartRun(attempt=attempt, champion=champion):
                await self._processes.start(to_run_spec(job, attempt, champion))
            case StopRun(attempt=attempt):
                self._processes.stop(name, attempt)
            case RegisterVersion():
                await self._register(job, action)
            case CleanUp():
                self._processes.clean_up(name)
            case _:
                assert_never(action)

    async def save_training(self, job: TrainingJob, status: TrainingJobStatus) -> None:
        async with transaction(self._pool) as connection:
            self._seen[job.metadata.name] = await Resources(connection).save_job_status(
                job, status, seen=self._seen.get(job.metadata.name), actor=SYSTEM
            )

    async def _register(self, job: TrainingJob, action: RegisterVersion) -> None:
        async with transaction(self._pool) as connection:
            resources = Resources(connection)
            if await resources.version_of_job(job.metadata.name) is not None:
                return
            number = await resources.next_version(job.spec.model_name)
            version = ModelVersion(
                metadata=Metadata(
                    name=name_of_version(job.spec.model_name, number),
                    creation_timestamp=datetime.now(UTC),
                ),
                spec=registered_spec(job, action, number),
            )
            await resources.create_version(version, actor=SYSTEM)

    # Model versions

    async def observe_serving(self, version: ModelVersion) -> ServingObservation:
        slots = await self._slots.get()
        name = version.metadata.name
        async with transaction(self._pool) as connection:
            resources = Resources(connection)
            routed = await resources.routed(version.spec.model_name)
            versions = await resources.versions(version.spec.model_name)
            analysis = await self._analysis(resources, version, routed.champion)
        champion, candidate = Slot(), Slot()
        if slots is not None:
            champion, candidate = slots["champion"], slots["candidate"]
        refused = self._refused.get(version.spec.artifact.digest)
        if refused is not None:
            champion = _refusing(champion, version, refused)
            candidate = _refusing(candidate, version, refused)
        others = (other for other in versions if other.metadata.name != name)
        target = rollback_target(versions, name)
        return ServingObservation(
            reachable=slots is not None,
            champion=champion,
            candidate=candidate,
            champion_name=routed.champion,
            previous_name=routed.previous_champion,
            return_to=target.metadata.name if target is not None else None,
            turn=not any(in_flight(other) for other in others),
            analysis=analysis,
        )

    async def carry_out_rollout(self, version: ModelVersion, action: VersionAction) -> None:
        match action:
            case LoadCandidate():
                await self._load("candidate", version)
            case RouteCandidate(weight=weight, shadow=shadow):
                await self._route_candidate(version, weight, shadow=shadow)
            case SwitchChampion():
                await self._switch(version)
            case ReloadChampion():
                await self._load("champion", version)
            case DropCandidate():
                await self._route_champion_alone(version)
                await self._slots.clear_candidate()
            case ReturnToPrevious(reason=reason, message=message):
                async with transaction(self._pool) as connection:
                    resources = Resources(connection)
                    await resources.recall_previous(version, message, actor=SYSTEM, reason=reason)
                    # Our own change: the status of this version is still to be saved over it.
                    row = await resources.version_row(version.metadata.name)
                    self._seen[version.metadata.name] = row.updated_at
            case _:
                assert_never(action)

    async def save_rollout(self, version: ModelVersion, status: ModelVersionStatus) -> None:
        async with transaction(self._pool) as connection:
            self._seen[version.metadata.name] = await Resources(connection).save_version_status(
                version, status, seen=self._seen.get(version.metadata.name), actor=SYSTEM
            )

    async def _load(self, slot: SlotName, version: ModelVersion) -> bool:
        digest = version.spec.artifact.digest
        try:
            await self._slots.load(slot, version)
        except ArtifactError as error:
            log.warning("artifact_refused", model_version=version.metadata.name, error=str(error))
            self._refused[digest] = str(error)
            return False
        self._refused.pop(digest, None)
        return True

    async def _switch(self, version: ModelVersion) -> None:
        """The slot first, the routing after it: what is routed to always serves."""
        if not await self._load("champion", version):
            return
        async with transaction(self._pool) as connection:
            await Resources(connection).route_to_champion(version, self._model_url)
        await self._slots.clear_candidate()

    async def _route_candidate(self, version: ModelVersion, weight: int, *, shadow: bool) -> None:
        async with transaction(self._pool) as connection:
            await Resources(connection).route_to_both(
                version, self._model_url, weight, shadow=shadow
            )

    async def _route_champion_alone(self, version: ModelVersion) -> None:
        async with transaction(self._pool) as connection:
            resources = Resources(connection)
            champion = await resources.champion(version.spec.model_name)
            if champion is not None:
                await resources.route_to_champion(champion, self._model_url)

    async def _analysis(
        self, resources: Resources, version: ModelVersion, champion: str | None
    ) -> AnalysisResult | None:
        since = version.status.step_started_at
        if not in_flight(version) or since is None or champion is None:
            return None
        votes = await resources.votes_since(since)
        none = (0, 0)
        return compare_votes(
            candidate=votes.get(version.metadata.name, none),
            champion=votes.get(champion, none),
            min_samples=version.spec.rollout.min_samples,
        )

    # What the loop walks over

    async def training_jobs_to_converge(self, now: datetime) -> list[TrainingJob]:
        """Open jobs in the order they were asked for, then those whose leftovers are due to go."""
        # Also sees to it that a run which was told to end does end, even when no job is open.
        self._processes.active_jobs()
        async with transaction(self._pool) as connection:
            resources = Resources(connection)
            jobs = await resources.open_jobs()
            return jobs + await resources.expired_jobs(self._processes.known_jobs(), now)

    async def training_job(self, name: str) -> TrainingJob:
        async with transaction(self._pool) as connection:
            row = await Resources(connection).job_row(name)
        self._seen[name] = row.updated_at
        return row.job

    async def model_versions_to_converge(self) -> list[str]:
        """Whoever is routed to comes first: a restarted model server gets its champion before all else."""
        async with transaction(self._pool) as connection:
            resources = Resources(connection)
            champions = await resources.champions()
            versions = await resources.versions(None)
        unsettled = [version.metadata.name for version in versions if not settled(version)]
        return list(dict.fromkeys([*champions, *unsettled]))

    async def model_version(self, name: str) -> ModelVersion:
        async with transaction(self._pool) as connection:
            row = await Resources(connection).version_row(name)
        self._seen[name] = row.updated_at
        return row.version


def _spec_error(job: TrainingJob, model_name: str) -> str | None:
    try:
        require_one_machine(job.spec, model_name)
    except InvalidInput as error:
        return str(error)
    return None


def _refusing(slot: Slot, version: ModelVersion, message: str) -> Slot:
    return Slot(SlotState.FAILED, slot.digest, version.spec.artifact.digest, message)
