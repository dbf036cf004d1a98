"""The loop of one machine: every open job and every unsettled version, a step nearer each time around."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from sentops_core import trace_context
from sentops_core.domain.errors import PlatformError
from sentops_core.lifecycle import converge_model_version, converge_training_job
from sentops_trainer.local.substrate import LocalSubstrate
from sentops_trainer.metrics import ConvergeMetrics

log = structlog.get_logger()

# Steps taken at once for one resource: enough to go from the verdict to a registered version in one round.
_STEPS_PER_ROUND = 8
# A round waits for a model to load and verify; one that takes longer has hung.
_PATIENCE = timedelta(minutes=5)


class ConvergeLoop:
    """Runs rounds until stopped; `wake` starts the next one at once."""

    def __init__(
        self, substrate: LocalSubstrate, metrics: ConvergeMetrics, *, pause_seconds: float
    ) -> None:
        self._substrate = substrate
        self._metrics = metrics
        self._pause_seconds = pause_seconds
        self._wanted = asyncio.Event()
        self.patience = _PATIENCE
        self.needed_to_serve = True
        self.last_round_at: datetime | None = None
        self.trouble = ""  # why the last round failed

    def wake(self) -> None:
        self._wanted.set()

    async def run(self) -> None:
        while True:
            try:
                await self.round()
            except PlatformError as error:
                self.trouble = str(error)
                log.warning("converge_round_failed", code=error.code, error=str(error))
            except Exception as error:
                self.trouble = repr(error)
                log.exception("converge_round_failed")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), self._pause_seconds)
            self._wanted.clear()

    async def round(self) -> None:
        """Every resource once, each on its own: one that fails does not hold up the others."""
        jobs = await self._substrate.training_jobs_to_converge(datetime.now(UTC))
        for job in jobs:
            name = job.metadata.name
            await self._guard("TrainingJob", name, partial(self._job_step, name))
        for name in await self._substrate.model_versions_to_converge():
            await self._guard("ModelVersion", name, partial(self._version_step, name))
        self.last_round_at, self.trouble = datetime.now(UTC), ""

    async def _guard(self, kind: str, name: str, step: Callable[[], Awaitable[bool]]) -> None:
        # A trace of its own: the model server's lines about a slot are found by it as well.
        with trace_context.working_on(trace_context.new_trace()):
            try:
                for _ in range(_STEPS_PER_ROUND):
                    if not await step():
                        break
                self._metrics.converges.labels(kind, "ok").inc()
            except PlatformError as error:
                self._metrics.converges.labels(kind, error.code).inc()
                log.warning(
                    "converge_failed", kind=kind, name=name, code=error.code, error=str(error)
                )
            except Exception:
                self._metrics.converges.labels(kind, "internal").inc()
                log.exception("converge_failed", kind=kind, name=name)

    async def _job_step(self, name: str) -> bool:
        job = await self._substrate.training_job(name)
        return await converge_training_job(self._substrate, job, now=datetime.now(UTC))

    async def _version_step(self, name: str) -> bool:
        version = await self._substrate.model_version(name)
        return await converge_model_version(self._substrate, version, now=datetime.now(UTC))
