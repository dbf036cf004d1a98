"""KubernetesSubstrate: runs are Jobs, models are served by Deployments, statuses live in the custom resources."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import assert_never

import structlog

from sentops_core.domain.errors import Conflict, NotFound
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
    ModelVersion,
    ModelVersionPhase,
    ModelVersionStatus,
    TrainerStatus,
    TrainingJob,
    TrainingJobStatus,
)
from sentops_core.domain.run import ChampionRef, RunSpec
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
from sentops_core.kube.api import KubeApi, Manifest
from sentops_core.kube.kinds import (
    JOB,
    MODEL_VERSION,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    SERVICE,
    TRAINING_JOB,
)
from sentops_operator.documents import registered_version, to_model_version, to_run_spec
from sentops_operator.events import EventRecorder
from sentops_operator.manifests import job as job_manifests
from sentops_operator.manifests import metadata as names
from sentops_operator.model_servers import ModelServers
from sentops_operator.object_cache import ObjectCache
from sentops_operator.progress import ProgressBoard
from sentops_operator.run_observation import observe_run
from sentops_operator.spec_check import spec_error
from sentops_operator.work_queue import Key, KeyKind

log = structlog.get_logger()

ANALYSIS_ANNOTATION = "sentops.dev/analysis"
CANCEL_ANNOTATION = "sentops.dev/cancel"


class KubernetesSubstrate:
    """Carries the actions of plan and roll-out out in a cluster."""

    def __init__(
        self,
        api: KubeApi,
        cache: ObjectCache,
        servers: ModelServers,
        progress: ProgressBoard,
        events: EventRecorder,
        run_settings: job_manifests.RunSettings,
    ) -> None:
        self._api = api
        self._cache = cache
        self._servers = servers
        self._progress = progress
        self._events = events
        self._run_settings = run_settings

    # Training jobs

    async def observe_training(self, job: TrainingJob) -> TrainingObservation:
        key = _key(job)
        run = observe_run(
            self._cache.of_key(JOB, key), self._cache.of_key(POD, key), self._progress_of(job)
        )
        namespace, model_name = names.namespace_of(job.metadata), job.spec.model_name
        version = self._version_of_job(namespace, model_name, job.metadata.name)
        return TrainingObservation(
            run=run,
            champion=_to_champion_ref(self._champion(namespace, model_name)),
            version_name=version.metadata.name if version else None,
            cancel_requested=CANCEL_ANNOTATION in job.metadata.annotations,
            spec_error=spec_error(job.spec),
        )

    async def carry_out_training(self, job: TrainingJob, action: TrainingAction) -> None:
        match action:
            case StartRun(attempt=attempt, champion=champion):
                await self._start(job, to_run_spec(job, attempt, champion))
            case StopRun(attempt=attempt):
                await self._stop(job, attempt)
            case RegisterVersion():
                await self._register(job, action)
            case CleanUp():
                await self._clean_up(job)
            case _:
                assert_never(action)

    async def save_training(self, job: TrainingJob, status: TrainingJobStatus) -> None:
        namespace, name = names.namespace_of(job.metadata), job.metadata.name
        saved = await self._api.apply_status(
            TRAINING_JOB,
            namespace,
            name,
            status.to_document(),
            resource_version=job.metadata.resource_version,
        )
        self._cache.see(TRAINING_JOB, saved)
        if status.phase.final:
            self._progress.forget(namespace, name)
        await self._events.transitions(saved, job.status.conditions, status.conditions)

    async def _start(self, job: TrainingJob, run_spec: RunSpec) -> None:
        """The Job last: what it mounts and how its nodes meet is there before it."""
        needed = (
            job_manifests.build_work_claim(job, self._run_settings),
            job_manifests.build_rendezvous_service(job, run_spec.attempt),
        )
        for manifest in needed:
            if manifest is not None:
                await self._create(manifest)
        created = await self._create(job_manifests.build_job(job, run_spec, self._run_settings))
        if created is not None:
            self._cache.see(JOB, created)

    async def _create(self, manifest: Manifest) -> Manifest | None:
        """None: it is there already. Not applied over: others (Kueue, the binder) have changed it since."""
        try:
            return await self._api.create(manifest)
        except Conflict:
            return None

    async def _stop(self, job: TrainingJob, attempt: int) -> None:
        """The Job controller ends the pod, which writes a checkpoint."""
        patch = {
            "metadata": {"annotations": {names.STOPPED_ANNOTATION: "true"}},
            "spec": {"suspend": True},
        }
        name = names.job_name(job, attempt)
        try:
            stopped = await self._api.merge_patch(
                JOB, names.namespace_of(job.metadata), name, patch
            )
        except NotFound:
            return
        self._cache.see(JOB, stopped)

    async def _register(self, job: TrainingJob, action: RegisterVersion) -> None:
        """Asks the API server itself: an old view must not register an artefact twice."""
        namespace = names.namespace_of(job.metadata)
        for found in await self._api.list(MODEL_VERSION, namespace):
            self._cache.see(MODEL_VERSION, found)
        versions = self._versions(namespace, job.spec.model_name)
        if any(
            one.spec.training_job_ref and one.spec.training_job_ref.name == job.metadata.name
            for one in versions
        ):
            return
        taken = [one.spec.version for one in versions]
        number = max([*taken, *self._numbers_given(namespace, job.spec.model_name)], default=0) + 1
        # A number taken meanwhile by another job is a Conflict: the next turn takes the one after it.
        created = await self._api.create(registered_version(job, action, number))
        self._cache.see(MODEL_VERSION, created)

    async def _clean_up(self, job: TrainingJob) -> None:
        """Jobs with their pods, work folder, meeting points. The TrainingJob itself is its owner's to delete."""
        namespace = names.namespace_of(job.metadata)
        for found in self._cache.of_key(JOB, _key(job)):
            await self._api.delete(JOB, namespace, found["metadata"]["name"])
            self._cache.forget(JOB, found)
        await self._api.delete(PERSISTENT_VOLUME_CLAIM, namespace, names.work_claim_name(job))
        if job.spec.trainer.num_nodes > 1:
            for attempt in range(1, job.status.attempt + 1):
                await self._api.delete(SERVICE, namespace, names.rendezvous_name(job, attempt))

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
        namespace, model_name = names.namespace_of(version.metadata), version.spec.model_name
        match action:
            case LoadCandidate():
                await self._servers.load_candidate(version)
            case RouteCandidate():
                pass  # its weight is in the status, from which the control plane answers /routing
            case SwitchChampion():
                await self._servers.switch(version)
            case ReloadChampion():
                await self._servers.restore_champion(version)
            case DropCandidate():
                await self._servers.restore_champion(self._champion(namespace, model_name))
                await self._servers.drop_candidate(namespace, model_name)
            case ReturnToPrevious(message=message):
                await self.recall_previous(version, message)
            case _:
                assert_never(action)

    async def save_rollout(self, version: ModelVersion, status: ModelVersionStatus) -> None:
        namespace = names.namespace_of(version.metadata)
        saved = await self._api.apply_status(
            MODEL_VERSION,
            namespace,
            version.metadata.name,
            status.to_document(),
            resource_version=version.metadata.resource_version,
        )
        self._cache.see(MODEL_VERSION, saved)
        await self._events.transitions(saved, version.status.conditions, status.conditions)

    async def recall_previous(self, champion: ModelVersion, message: str) -> str | None:
        """Ask for the version before this one; its name, or None when nothing served before."""
        namespace = names.namespace_of(champion.metadata)
        versions = self._versions(namespace, champion.spec.model_name)
        name = champion.metadata.name
        busy = next((one for one in versions if in_flight(one) and one.metadata.name != name), None)
        if busy is not None:
            # What is on its way to serve would otherwise arrive after the return and undo it.
            raise Conflict(f"{busy.metadata.name} is being rolled out; going back waits for it.")
        target = rollback_target(versions, name)
        if target is None:
            return None
        await self.save_rollout(target, recalled(target.status, message, now=datetime.now(UTC)))
        return target.metadata.name

    async def replace_lost_champion(self, namespace: str, model_name: str) -> None:
        """Somebody deleted the ModelVersion that serves: what it serves stays, and the one before it is asked back."""
        name = self._servers.champion_name(namespace, model_name)
        versions = self._versions(namespace, model_name)
        known = {version.metadata.name for version in versions}
        busy = any(in_flight(version) or _on_its_way(version) for version in versions)
        target = rollback_target(versions, name) if name is not None else None
        if name is None or name in known or busy or target is None:
            return
        message = f"{name} was deleted while it served; {target.metadata.name} takes its place."
        await self.save_rollout(target, recalled(target.status, message, now=datetime.now(UTC)))

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

    def _version_of_job(self, namespace: str, model_name: str, job: str) -> ModelVersion | None:
        return next(
            (
                version
                for version in self._versions(namespace, model_name)
                if version.spec.training_job_ref and version.spec.training_job_ref.name == job
            ),
            None,
        )

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


def _key(job: TrainingJob) -> Key:
    return Key(KeyKind.TRAINING_JOB, names.namespace_of(job.metadata), job.metadata.name)


def _live_name(versions: Sequence[ModelVersion]) -> str | None:
    """Who served last, when the Deployment that would tell is gone."""
    live = [one for one in versions if one.status.phase is ModelVersionPhase.LIVE]
    newest = max(live, key=lambda one: one.spec.version, default=None)
    return newest.metadata.name if newest else None


def _on_its_way(version: ModelVersion) -> bool:
    return version.status.phase is ModelVersionPhase.PENDING and is_wanted(version)


def _to_champion_ref(champion: ModelVersion | None) -> ChampionRef | None:
    """Whom to compare with; one that cannot be loaded must not stand in its successor's way."""
    if champion is None or champion.status.phase is ModelVersionPhase.QUARANTINED:
        return None
    return ChampionRef(
        model_version=champion.metadata.name,
        storage_uri=champion.spec.artifact.storage_uri,
        digest=champion.spec.artifact.digest,
    )


def _analysis(version: ModelVersion) -> AnalysisResult | None:
    """The control plane's evidence from feedback, if it is about the step the canary is in."""
    raw = version.metadata.annotations.get(ANALYSIS_ANNOTATION)
    if raw is None:
        return None
    try:
        document = json.loads(raw)
        step = document.pop("stepIndex", None)
        analysis = AnalysisResult.model_validate(document)
    except (ValueError, AttributeError, TypeError):
        log.warning("analysis_unreadable", model_version=version.metadata.name)
        return None
    return analysis if step == version.status.current_step_index else None
