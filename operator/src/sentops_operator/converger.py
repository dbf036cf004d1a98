"""Workers that bring one key after another a step nearer to what is wanted."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from sentops_core.domain.conditions import ConditionStatus, set_condition
from sentops_core.domain.errors import Conflict, NotFound, PlatformError
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import (
    ModelVersion,
    TrainingJob,
    TrainingJobPhase,
    TrainingJobStatus,
)
from sentops_core.domain.version_states import in_flight, is_wanted, settled
from sentops_core.kube.api import KubeApi, Manifest
from sentops_core.kube.kinds import JOB, TRAINING_JOB
from sentops_core.lifecycle import converge_model_version, converge_training_job
from sentops_operator.documents import InvalidDocument, to_training_job
from sentops_operator.metrics import OperatorMetrics
from sentops_operator.object_cache import ObjectCache
from sentops_operator.substrate import KubernetesSubstrate
from sentops_operator.work_queue import Key, KeyKind, WorkQueue

log = structlog.get_logger()

# Steps taken at once for one resource: enough to go from a verdict to a registered version in one turn.
_STEPS = 8
# While something is under way that no event tells the end of: a pause, a deadline.
_LOOK_AGAIN_SECONDS = 5.0


class Converger:
    def __init__(
        self,
        api: KubeApi,
        cache: ObjectCache,
        substrate: KubernetesSubstrate,
        queue: WorkQueue,
        metrics: OperatorMetrics,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api = api
        self._cache = cache
        self._substrate = substrate
        self._queue = queue
        self._metrics = metrics
        self._clock = clock
        self._under_way: dict[Key, float] = {}
        self._first_seen: dict[str, float] = {}

    async def work(self) -> None:
        """One worker: takes keys until it is cancelled."""
        while True:
            key = await self._queue.take()
            self._metrics.queue_depth.set(self._queue.depth)
            started = self._under_way[key] = time.monotonic()
            outcome = "ok"
            try:
                outcome = await self._turn(key)
            finally:
                del self._under_way[key]
                self._queue.done(key)
                self._metrics.converges.labels(key.kind.value, outcome).inc()
                self._metrics.converge_seconds.labels(key.kind.value).observe(
                    time.monotonic() - started
                )

    def longest_turn(self) -> timedelta:
        """How long the oldest turn under way has taken; zero when none is."""
        oldest = min(self._under_way.values(), default=time.monotonic())
        return timedelta(seconds=time.monotonic() - oldest)

    def first_seen(self, job: Manifest) -> None:
        """Starts the clock from apply to Job, for a TrainingJob that has not begun."""
        if "observedGeneration" not in (job.get("status") or {}):
            self._first_seen.setdefault(job["metadata"].get("uid", ""), time.monotonic())

    async def _turn(self, key: Key) -> str:
        with structlog.contextvars.bound_contextvars(**{_LOG_KEYS[key.kind]: key.name}):
            try:
                after = await self._converge(key)
            except NotFound:
                # Deleted under our hands: its event has come or is on its way, and a new one starts anew.
                self._queue.retry(key)
                return "gone"
            except Conflict as error:
                log.info("converge_conflict", error=str(error))
                self._queue.retry(key)
                return error.code
            except PlatformError as error:
                log.warning("converge_failed", code=error.code, error=str(error))
                wait = error.retry_after.total_seconds() if error.retry_after else 0
                self._queue.retry(key, at_least_seconds=wait)
                return error.code
            except Exception:
                log.exception("converge_failed")
                self._queue.retry(key)
                return "internal"
            self._queue.forget_failures(key)
            if after is not None:
                self._queue.add_after(key, after)
            return "ok"

    async def _converge(self, key: Key) -> float | None:
        """Seconds until it must be looked at again though nothing happens; None: never."""
        if key.kind is KeyKind.TRAINING_JOB:
            return await self._converge_training_job(key)
        return await self._converge_model(key)

    async def _converge_training_job(self, key: Key) -> float | None:
        job: TrainingJob | None = None
        for _ in range(_STEPS):
            found = self._cache.get(TRAINING_JOB, key.namespace, key.name)
            if found is None or found["metadata"].get("deletionTimestamp"):
                return None  # its children go with it
            try:
                job = to_training_job(found)
            except InvalidDocument as error:
                await self._refuse(found, str(error))
                return None
            now = self._clock()
            await converge_training_job(self._substrate, job, now=now)
            self._time_to_job(key, job)
            if self._status_of(key) == (found.get("status") or {}):
                break
        return self._next_look(key, job) if job is not None else None

    async def _converge_model(self, key: Key) -> float | None:
        """Its versions one after another, whoever serves first: they share what serves."""
        await self._substrate.replace_lost_champion(key.namespace, key.name)
        for version in self._substrate.versions(key.namespace, key.name):
            await self._converge_version(key, version)
        versions = self._substrate.versions(key.namespace, key.name)
        moving = any(in_flight(one) or (is_wanted(one) and not settled(one)) for one in versions)
        return _LOOK_AGAIN_SECONDS if moving else None

    async def _converge_version(self, key: Key, version: ModelVersion) -> None:
        name = version.metadata.name
        for _ in range(_STEPS):
            await converge_model_version(self._substrate, version, now=self._clock())
            before = version
            found = [
                one
                for one in self._substrate.versions(key.namespace, key.name)
                if one.metadata.name == name
            ]
            if not found or found[0].status == before.status:
                return
            version = found[0]

    def _status_of(self, key: Key) -> Manifest:
        found = self._cache.get(TRAINING_JOB, key.namespace, key.name) or {}
        return found.get("status") or {}

    def _next_look(self, key: Key, job: TrainingJob) -> float | None:
        now = self._clock()
        if job.status.phase.final:
            jobs_left = bool(self._cache.of_key(JOB, key))
            ended = job.status.completion_time
            if not jobs_left or ended is None:
                return None
            due = ended + timedelta(seconds=job.spec.ttl_seconds_after_finished)
            return max(1.0, (due - now).total_seconds())
        limit, started = job.spec.active_deadline_seconds, job.status.start_time
        if limit is None or started is None or job.status.phase is TrainingJobPhase.SUSPENDED:
            return None
        return max(1.0, (started + timedelta(seconds=limit) - now).total_seconds())

    def _time_to_job(self, key: Key, job: TrainingJob) -> None:
        began = self._first_seen.get(job.metadata.uid or "")
        if began is not None and self._cache.of_key(JOB, key):
            self._metrics.apply_to_job_seconds.observe(time.monotonic() - began)
            del self._first_seen[job.metadata.uid or ""]

    async def _refuse(self, found: Manifest, why: str) -> None:
        """A document that its schema let through and the core cannot read: final, and said on it."""
        metadata, now = found["metadata"], self._clock()
        generation = int(metadata.get("generation", 1))
        message = f"{why}. Delete it, correct it and apply it again."
        status = TrainingJobStatus(
            observed_generation=generation,
            phase=TrainingJobPhase.FAILED,
            completion_time=now,
            conditions=set_condition(
                (),
                "Failed",
                ConditionStatus.TRUE,
                Reason.INVALID_SPEC,
                message,
                now=now,
                observed_generation=generation,
            ),
        )
        if (found.get("status") or {}).get("phase") == TrainingJobPhase.FAILED.value:
            return
        saved = await self._api.apply_status(
            TRAINING_JOB,
            metadata["namespace"],
            metadata["name"],
            status.to_document(),
            resource_version=metadata.get("resourceVersion"),
        )
        self._cache.see(TRAINING_JOB, saved)


_LOG_KEYS = {KeyKind.TRAINING_JOB: "training_job", KeyKind.MODEL: "model"}


async def run_workers(converger: Converger, count: int) -> None:
    """Until cancelled; one that breaks takes the others along, and the process with them."""
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(converger.work())
