"""The runs of a TrainingJob: a Job for each attempt, the folder they share, and where several nodes meet."""

from sentops_core.domain.errors import Conflict, Forbidden, InvalidInput, NotFound
from sentops_core.domain.resources import TrainerStatus, TrainingJob
from sentops_core.domain.run import Run, RunSpec, RunState
from sentops_core.kube.api import KubeApi, Manifest
from sentops_core.kube.kinds import JOB, PERSISTENT_VOLUME_CLAIM, POD, SERVICE, kind_of
from sentops_operator.manifests import job as manifests
from sentops_operator.manifests import metadata as names
from sentops_operator.object_cache import ObjectCache
from sentops_operator.run_observation import lives, observe_run
from sentops_operator.work_queue import Key, KeyKind


class RunRefused(InvalidInput):
    """The API server will never take this run; the message says why."""


class RunDelayed(Conflict):
    """The run cannot be started yet; the message says what it waits for."""


class Runs:
    def __init__(self, api: KubeApi, cache: ObjectCache, settings: manifests.RunSettings) -> None:
        self._api = api
        self._cache = cache
        self._settings = settings

    async def observe(self, job: TrainingJob, progress: TrainerStatus | None) -> Run | None:
        """The newest attempt. That one ended without a report is only believed of the API server itself."""
        run = self._seen(job, progress)
        if run is None or run.result is not None or job.status.phase.final:
            return run
        if run.state in {RunState.FINISHED, RunState.LOST}:
            # The news of a Job may come before those of its pods.
            await self._look_at_pods(job)
        return self._seen(job, progress)

    async def start(self, job: TrainingJob, run_spec: RunSpec) -> None:
        """The Job last: what it mounts and how its nodes meet is there before it."""
        try:
            built = manifests.build_job(job, run_spec, self._settings)
            if any(lives(pod) for pod in self._cache.of_key(POD, key_of(job))):
                await self._find_unseen(job, built)
                return
            for manifest in (
                manifests.build_work_claim(job, self._settings),
                manifests.build_rendezvous_service(job, run_spec.attempt),
            ):
                if manifest is not None:
                    await self._create(job, manifest)
            self._cache.see(JOB, await self._create(job, built))
        except Forbidden as error:  # a quota that is used up, a namespace that is being deleted
            raise RunDelayed(str(error)) from error
        except InvalidInput as error:
            raise RunRefused(str(error)) from error

    async def stop(self, job: TrainingJob, attempt: int) -> None:
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

    async def clean_up(self, job: TrainingJob) -> None:
        """Work folder, meeting points, and the Jobs with their pods: these last, as they show what is left to do."""
        namespace = names.namespace_of(job.metadata)
        await self._api.delete(PERSISTENT_VOLUME_CLAIM, namespace, names.work_claim_name(job))
        if job.spec.trainer.num_nodes > 1:
            for attempt in range(1, job.status.attempt + 1):
                await self._api.delete(SERVICE, namespace, names.rendezvous_name(job, attempt))
        for found in self._jobs(job):
            await self._api.delete(JOB, namespace, found["metadata"]["name"])
            self._cache.forget(JOB, found)

    def _seen(self, job: TrainingJob, progress: TrainerStatus | None) -> Run | None:
        return observe_run(self._jobs(job), self._cache.of_key(POD, key_of(job)), progress)

    def _jobs(self, job: TrainingJob) -> list[Manifest]:
        """Its own: those of a deleted TrainingJob of the same name may take a while to go."""
        return [one for one in self._cache.of_key(JOB, key_of(job)) if _belongs(one, job)]

    async def _look_at_pods(self, job: TrainingJob) -> None:
        key = key_of(job)
        before = self._cache.known_of_key(POD, key)
        labels = {
            names.MANAGED_BY_LABEL: names.FIELD_MANAGER,
            names.TRAINING_JOB_LABEL: job.metadata.name,
        }
        self._cache.replace(POD, await self._api.list(POD, key.namespace, labels=labels), before)

    async def _find_unseen(self, job: TrainingJob, built: Manifest) -> None:
        """A pod lives: this attempt's own, whose Job we have not seen yet, or one that must not be joined by another."""
        try:
            self._cache.see(JOB, await self._existing(job, built))
        except NotFound as error:
            raise RunDelayed("Waits for the pod of an earlier attempt to end.") from error

    async def _create(self, job: TrainingJob, manifest: Manifest) -> Manifest:
        """Found there already is success. Not applied over: others (Kueue, the binder) have changed it since."""
        try:
            return await self._api.create(manifest)
        except Conflict:
            return await self._existing(job, manifest)

    async def _existing(self, job: TrainingJob, manifest: Manifest) -> Manifest:
        kind, name = kind_of(manifest), manifest["metadata"]["name"]
        found = await self._api.get(kind, names.namespace_of(job.metadata), name)
        if _belongs(found, job) and "deletionTimestamp" not in found["metadata"]:
            return found
        whose = "is being deleted" if _belongs(found, job) else "belongs to something else"
        raise RunDelayed(
            f"{kind.name} {name} is in the way: it {whose}. Waits for it to go; "
            "delete it if nothing else does."
        )


def key_of(job: TrainingJob) -> Key:
    return Key(KeyKind.TRAINING_JOB, names.namespace_of(job.metadata), job.metadata.name)


def _belongs(child: Manifest, job: TrainingJob) -> bool:
    owners = child["metadata"].get("ownerReferences") or ()
    return any(owner.get("uid") == job.metadata.uid for owner in owners)
