"""KubernetesSubstrate: runs are Jobs, models are served by Deployments, statuses live in the custom resources."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar, assert_never

import structlog

from sentops_core.domain.conditions import ConditionStatus, is_true, set_condition
from sentops_core.domain.derived import to_champion_ref, to_run_spec
from sentops_core.domain.errors import Conflict
from sentops_core.domain.plan import (
    CleanUp,
    RegisterVersion,
    StartRun,
    StopRun,
    TrainingAction,
    TrainingObservation,
)
from sentops_core.domain.reach import unseen_by_pods
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import (
    AnalysisResult,
    Metadata,
    ModelVersion,
    ModelVersionPhase,
    ModelVersionStatus,
    TrainerStatus,
    TrainingJob,
    TrainingJobPhase,
    TrainingJobStatus,
)
from sentops_core.domain.serving import (
    DropCandidate,
    LoadCandidate,
    ReloadChampion,
    ReturnToPrevious,
    RouteCandidate,
    ServingObservation,
    SwitchChampion,
    VersionAction,
)
from sentops_core.domain.version_states import in_flight, is_wanted, recalled, rollback_target
from sentops_core.kube.agreed import ANALYSIS_ANNOTATION, CANCEL_ANNOTATION
from sentops_core.kube.api import KubeApi, Manifest
from sentops_core.kube.kinds import MODEL_VERSION, TRAINING_JOB, Kind
from sentops_operator.documents import (
    is_made_from,
    registered_version,
    to_model_version,
    to_training_status,
)
from sentops_operator.events import EventRecorder
from sentops_operator.manifests import metadata as names
from sentops_operator.model_servers import ModelServers
from sentops_operator.object_cache import ObjectCache
from sentops_operator.progress import ProgressBoard
from sentops_operator.runs import Runs
from sentops_operator.work_queue import Key, KeyKind

log = structlog.get_logger()

_Status = TypeVar("_Status", TrainingJobStatus, ModelVersionStatus)


class KubernetesSubstrate:
    """Carries the actions of plan and roll-out out in a cluster."""

    def __init__(
        self,
        api: KubeApi,
        cache: ObjectCache,
        runs: Runs,
        servers: ModelServers,
        progress: ProgressBoard,
        events: EventRecorder,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._cache = cache
        self._runs = runs
        self._servers = servers
        self._progress = progress
        self._events = events
        self._clock = clock

    # Training jobs

    async def observe_training(self, job: TrainingJob) -> TrainingObservation:
        namespace, model_name = names.namespace_of(job.metadata), job.spec.model_name
        made = (one for one in self._versions(namespace, model_name) if is_made_from(one, job))
        version = next(made, None)
        return TrainingObservation(
            run=await self._runs.observe(job, self._progress_of(job)),
            champion=to_champion_ref(self._champion(namespace, model_name)),
            version_name=version.metadata.name if version else None,
            cancel_requested=CANCEL_ANNOTATION in job.metadata.annotations,
            spec_error=unseen_by_pods(job.spec),
        )

    async def carry_out_training(self, job: TrainingJob, action: TrainingAction) -> None:
        match action:
            case StartRun(attempt=attempt, champion=champion):
                await self._runs.start(job, to_run_spec(job, attempt, champion))
            case StopRun(attempt=attempt):
                await self._runs.stop(job, attempt)
            case RegisterVersion():
                await self._register(job, action)
            case CleanUp():
                await self._runs.clean_up(job)
            case _:
                assert_never(action)

    async def save_training(self, job: TrainingJob, status: TrainingJobStatus) -> None:
        await self._save(TRAINING_JOB, job.metadata, job.status, status)
        if status.phase.final:
            self.forget_training(names.namespace_of(job.metadata), job.metadata.name)

    async def refuse_training(self, found: Manifest, why: str, *, now: datetime) -> None:
        """Final, and said on it: this spec cannot be read, or cannot be run."""
        status, metadata = to_training_status(found), _unchecked_metadata(found)
        if status.phase.final:
            return
        failed = status.model_copy(
            update={
                "observed_generation": metadata.generation,
                "phase": TrainingJobPhase.FAILED,
                "completion_time": now,
                "conditions": set_condition(
                    status.conditions,
                    "Failed",
                    ConditionStatus.TRUE,
                    Reason.INVALID_SPEC,
                    f"{why}. Delete it, correct it and apply it again.",
                    now=now,
                    observed_generation=metadata.generation,
                ),
            }
        )
        await self._save(TRAINING_JOB, metadata, status, failed)

    async def delay_training(self, job: TrainingJob, why: str, *, now: datetime) -> None:
        """Said on it: its run would be started, but cannot be yet."""
        conditions = set_condition(
            job.status.conditions,
            "Trained",
            ConditionStatus.UNKNOWN,
            Reason.WAITING_FOR_CAPACITY,
            why,
            now=now,
            observed_generation=job.metadata.generation,
        )
        status = job.status.model_copy(
            update={"observed_generation": job.metadata.generation, "conditions": conditions}
        )
        if status != job.status:
            await self.save_training(job, status)

    def forget_training(self, namespace: str, name: str) -> None:
        self._progress.forget(namespace, name)

    async def _register(self, job: TrainingJob, action: RegisterVersion) -> None:
        """Asks the API server itself: an old view must not register an artefact twice."""
        namespace = names.namespace_of(job.metadata)
        for found in await self._api.list(MODEL_VERSION, namespace):
            self._cache.see(MODEL_VERSION, found)
        versions = self._versions(namespace, job.spec.model_name)
        if any(is_made_from(one, job) for one in versions):
            return
        taken = [one.spec.version for one in versions]
        number = max([*taken, *self._numbers_given(namespace, job.spec.model_name)], default=0) + 1
        # A number taken meanwhile by another job is a Conflict: the next turn takes the one after it.
        created = await self._api.create(registered_version(job, action, number))
        self._cache.see(MODEL_VERSION, created)

    def _progress_of(self, job: TrainingJob) -> TrainerStatus | None:
        """What the run posted; after a restart of ours, what we had written down of it."""
        posted = self._progress.latest(names.namespace_of(job.metadata), job.metadata.name)
        return posted or job.status.trainer_status

    # Model versions

    async def observe_serving(self, version: ModelVersion) -> ServingObservation:
        namespace, model_name = names.namespace_of(version.metadata), version.spec.model_name
        versions = self._versions(namespace, model_name)
        digests = {one.metadata.name: one.spec.artifact.digest for one in versions}
        seen = self._servers.observe(namespace, model_name, digests)
        champion_name = seen.champion_name or _live_name(versions)
        name = version.metadata.name
        others = (other for other in versions if other.metadata.name != name)
        target = rollback_target(versions, champion_name or name)
        return ServingObservation(
            reachable=True,
            champion=seen.champion,
            candidate=seen.candidate,
            champion_name=champion_name,
            previous_name=seen.previous_name,
            return_to=target.metadata.name if target else None,
            turn=not any(in_flight(other) for other in others),
            analysis=_analysis(version),
        )

    async def carry_out_rollout(self, version: ModelVersion, action: VersionAction) -> None:
        match action:
            case LoadCandidate():
                await self._servers.load_candidate(version)
            case RouteCandidate():
                pass  # its weight is in the status, from which the control plane answers /routing
            case SwitchChampion():
                await self._servers.switch(version)
            case ReloadChampion():
                if not self._is_switching(version):
                    await self._servers.restore_champion(version)
            case DropCandidate():
                pass  # by drop_leftovers, once it is written down why
            case ReturnToPrevious(message=message):
                await self.recall_previous(version, message)
            case _:
                assert_never(action)

    async def save_rollout(self, version: ModelVersion, status: ModelVersionStatus) -> None:
        await self._save(MODEL_VERSION, version.metadata, version.status, status)

    async def recall_previous(self, champion: ModelVersion, message: str) -> str | None:
        """Ask for the version before this one; its name, or None when nothing served before."""
        namespace = names.namespace_of(champion.metadata)
        versions = self._versions(namespace, champion.spec.model_name)
        name = champion.metadata.name
        others = [one for one in versions if one.metadata.name != name]
        coming = next((one for one in others if in_flight(one) or is_on_its_way(one)), None)
        if coming is not None and not _served_before(coming):
            # It would arrive after the return and undo it, or be undone by it.
            raise Conflict(f"{coming.metadata.name} is being rolled out; going back waits for it.")
        if coming is not None:
            return coming.metadata.name  # asked for already, by a turn that did not come to its end
        target = rollback_target(versions, name)
        if target is None:
            return None
        await self.save_rollout(target, recalled(target.status, message, now=self._clock()))
        return target.metadata.name

    async def replace_lost_champion(self, namespace: str, model_name: str) -> None:
        """Somebody deleted the ModelVersion that serves: what it serves stays, and the one before it is asked back."""
        name = self._servers.champion_name(namespace, model_name)
        if name is None or self._cache.get(MODEL_VERSION, namespace, name) is not None:
            return
        versions = self._versions(namespace, model_name)
        target = rollback_target(versions, name)
        if target is None or any(in_flight(one) or is_on_its_way(one) for one in versions):
            return
        message = f"{name} was deleted while it served; {target.metadata.name} takes its place."
        await self.save_rollout(target, recalled(target.status, message, now=self._clock()))

    async def drop_leftovers(self, namespace: str, model_name: str) -> None:
        """Of a roll-out that is over: given up, withdrawn, cut off in its last step, or its version deleted."""
        versions = self._versions(namespace, model_name)
        moving = {one.metadata.name for one in versions if in_flight(one) or is_on_its_way(one)}
        champion = self._champion(namespace, model_name)
        target = self._servers.target_name(namespace, model_name, "champion")
        if champion is not None and target not in {champion.metadata.name, *moving}:
            await self._servers.restore_champion(champion)
        loaded = self._servers.target_name(namespace, model_name, "candidate")
        if loaded is not None and loaded not in moving:
            await self._servers.drop_candidate(namespace, model_name)

    async def refresh_champion(self, namespace: str, model_name: str) -> None:
        """Its Deployment and what stands around it as the settings want them now, whoever changed or deleted what."""
        champion = self._champion(namespace, model_name)
        live = champion is not None and champion.status.phase is ModelVersionPhase.LIVE
        if champion is not None and live and not self._is_switching(champion):
            await self._servers.restore_champion(champion)

    def _is_switching(self, version: ModelVersion) -> bool:
        """The champion's Deployment is being rolled to another version: it would be torn back and forth."""
        namespace, model_name = names.namespace_of(version.metadata), version.spec.model_name
        target = self._servers.target_name(namespace, model_name, "champion")
        others = (one for one in self._versions(namespace, model_name) if in_flight(one))
        return target != version.metadata.name and any(
            one.metadata.name == target for one in others
        )

    async def _save(self, kind: Kind, metadata: Metadata, before: _Status, after: _Status) -> None:
        """Only over what it was decided on; one event for each condition that moved."""
        saved = await self._api.apply_status(
            kind,
            names.namespace_of(metadata),
            metadata.name,
            after.to_document(),
            resource_version=metadata.resource_version,
        )
        self._cache.see(kind, saved)
        await self._events.transitions(saved, before.conditions, after.conditions)

    # What is known

    def versions(self, namespace: str, model_name: str) -> list[ModelVersion]:
        """Of one model, whoever serves first, then by number."""
        champion = self._servers.champion_name(namespace, model_name)
        return sorted(
            self._versions(namespace, model_name),
            key=lambda version: (version.metadata.name != champion, version.spec.version),
        )

    def _versions(self, namespace: str, model_name: str) -> list[ModelVersion]:
        key = Key(KeyKind.MODEL, namespace, model_name)
        parsed = (to_model_version(one) for one in self._cache.of_key(MODEL_VERSION, key))
        return [version for version in parsed if version is not None]

    def _numbers_given(self, namespace: str, model_name: str) -> list[int]:
        """Of versions that may be deleted since: a number names one artefact for ever."""
        prefix = f"{model_name}-v"
        names_given = [
            ((one.get("status") or {}).get("modelVersionRef") or {}).get("name", "")
            for one in self._cache.all_of(TRAINING_JOB)
            if one["metadata"].get("namespace") == namespace
        ]
        names_given.append(self._servers.champion_name(namespace, model_name) or "")
        numbers = [name.removeprefix(prefix) for name in names_given if name.startswith(prefix)]
        return [int(number) for number in numbers if number.isdigit()]

    def _champion(self, namespace: str, model_name: str) -> ModelVersion | None:
        versions = self._versions(namespace, model_name)
        name = self._servers.champion_name(namespace, model_name) or _live_name(versions)
        return next((one for one in versions if one.metadata.name == name), None)


def _unchecked_metadata(found: Manifest) -> Metadata:
    """Its very name may be what is wrong with it."""
    metadata = found["metadata"]
    return Metadata.model_construct(
        name=metadata["name"],
        namespace=metadata.get("namespace"),
        generation=int(metadata.get("generation", 1)),
        resource_version=metadata.get("resourceVersion"),
    )


def _live_name(versions: Sequence[ModelVersion]) -> str | None:
    """Who served last, when the Deployment that would tell is gone."""
    live = [one for one in versions if one.status.phase is ModelVersionPhase.LIVE]
    newest = max(live, key=lambda one: one.spec.version, default=None)
    return newest.metadata.name if newest else None


def is_on_its_way(version: ModelVersion) -> bool:
    """Wanted, and waiting for its turn."""
    return version.status.phase is ModelVersionPhase.PENDING and is_wanted(version)


def _served_before(version: ModelVersion) -> bool:
    return is_true(version.status.conditions, "Promoted")


def _analysis(version: ModelVersion) -> AnalysisResult | None:
    """The control plane's evidence from feedback, if it is about the step the canary is in, on this try of it."""
    raw = version.metadata.annotations.get(ANALYSIS_ANNOTATION)
    if raw is None:
        return None
    try:
        document = json.loads(raw)
        about = {
            "stepIndex": document.pop("stepIndex"),
            "stepStartedAt": document.pop("stepStartedAt"),
        }
        analysis = AnalysisResult.model_validate(document)
    except (ValueError, AttributeError, TypeError, LookupError):
        log.warning("analysis_unreadable", model_version=version.metadata.name)
        return None
    status = version.status
    now = {
        "stepIndex": status.current_step_index,
        "stepStartedAt": status.to_document().get("stepStartedAt"),
    }
    return analysis if about == now else None
