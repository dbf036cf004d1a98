"""Workers that bring one key after another a step nearer to what is wanted."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from sentops_core import trace_context
from sentops_core.domain.errors import Conflict, NotFound, PlatformError
from sentops_core.domain.resources import ModelVersion, TrainingJob, TrainingJobPhase
from sentops_core.domain.version_states import in_flight
from sentops_core.kube.api import Manifest
from sentops_core.kube.kinds import JOB, TRAINING_JOB
from sentops_core.lifecycle import converge_model_version, converge_training_job
from sentops_operator.documents import InvalidDocument, to_training_job
from sentops_operator.metrics import OperatorMetrics
from sentops_operator.object_cache import ObjectCache
from sentops_operator.runs import RunDelayed, RunRefused
from sentops_operator.substrate import KubernetesSubstrate, is_on_its_way
from sentops_operator.work_queue import Key, KeyKind, WorkQueue

log = structlog.get_logger()

# Steps taken at once for one resource: enough to go from a verdict to a registered version in one turn.
_STEPS = 8
# While something is under way that no event tells the end of: a pause, a deadline.
_LOOK_AGAIN_SECONDS = 5.0


class Converger:
    def __init__(
        self,
        cache: ObjectCache,
        substrate: KubernetesSubstrate,
        queue: WorkQueue,
        metrics: OperatorMetrics,
        *,
        refresh_every: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._cache = cache
        self._substrate = substrate
        self._queue = queue
        self._metrics = metrics
        self._clock = clock
        self._refresh_every = refresh_every
        self._refreshed: dict[Key, float] = {}
        self._under_way: dict[Key, float] = {}
        self._first_seen: dict[str, float] = {}

    async def work(self) -> None:
        """One worker: takes keys until it is cancelled."""
        while True:
            key = await self._queue.take()
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
        with (
            structlog.contextvars.bound_contextvars(**{_LOG_KEYS[key.kind]: key.name}),
            trace_context.working_on(trace_context.new_trace()),
        ):
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
                self._queue.retry(key, at_least_seconds=_asked_to_wait(error))
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
                self._substrate.forget_training(key.namespace, key.name)
                return None  # its children go with it
            now = self._clock()
            try:
                job = to_training_job(found)
                await converge_training_job(self._substrate, job, now=now)
            except (InvalidDocument, RunRefused) as error:
                await self._substrate.refuse_training(found, str(error), now=now)
                return None
            except RunDelayed as error:
                if job is not None:
                    await self._substrate.delay_training(job, str(error), now=now)
                raise
            self._time_to_job(key, job)
            if self._status_of(key) == (found.get("status") or {}):
                break
        return self._next_look(key, job) if job is not None else None

    async def _converge_model(self, key: Key) -> float | None:
        """Its versions one after another, whoever serves first: they share what serves."""
        substrate = self._substrate
        await substrate.replace_lost_champion(key.namespace, key.name)
        await substrate.drop_leftovers(key.namespace, key.name)
        failures: list[
            PlatformError
        ] = []  # what one waits for may be the end of another's roll-out
        for one in substrate.versions(key.namespace, key.name):
            try:
                await self._converge_version(key, one.metadata.name)
                await substrate.drop_leftovers(key.namespace, key.name)
            except PlatformError as error:
                failures.append(error)
        if failures:
            raise failures[0]
        await self._refresh(key)
        versions = substrate.versions(key.namespace, key.name)
        moving = any(in_flight(one) or is_on_its_way(one) for one in versions)
        return _LOOK_AGAIN_SECONDS if moving else None

    async def _converge_version(self, key: Key, name: str) -> None:
        before: ModelVersion | None = None
        for _ in range(_STEPS):
            versions = self._substrate.versions(key.namespace, key.name)
            version = next((one for one in versions if one.metadata.name == name), None)
            if version is None or (before is not None and version.status == before.status):
                return
            await converge_model_version(self._substrate, version, now=self._clock())
            before = version

    async def _refresh(self, key: Key) -> None:
        """Now and then, as nothing tells of a Service that was deleted or of settings that changed."""
        now = time.monotonic()
        if now - self._refreshed.get(key, float("-inf")) >= self._refresh_every.total_seconds():
            await self._substrate.refresh_champion(key.namespace, key.name)
            self._refreshed[key] = now

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


def _asked_to_wait(error: PlatformError) -> float:
    """Seconds that the API server itself named; what an error advises otherwise is meant for clients of ours."""
    asked: timedelta | None = vars(error).get("retry_after")
    return asked.total_seconds() if asked is not None else 0.0


_LOG_KEYS = {KeyKind.TRAINING_JOB: "training_job", KeyKind.MODEL: "model"}


async def run_workers(converger: Converger, count: int) -> None:
    """Until cancelled; one that breaks takes the others along, and the process with them."""
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(converger.work())
