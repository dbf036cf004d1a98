"""Gauges that the database answers, the same on every substrate and after every restart."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sentops_core.domain.errors import PlatformError
from sentops_core.domain.resources import ModelVersionPhase, TrainingJobPhase
from sentops_core.store.platform_figures import PlatformFigures, read_platform_figures
from sentops_core.store.pool import Pool, transaction

log = structlog.get_logger()

_EVERY = timedelta(seconds=10)
_STALE_AFTER = timedelta(minutes=2)  # what was read then says nothing about now


UNKNOWN = PlatformFigures()


class Figures(Collector):
    """What was read last; nothing before that, and nothing once it is stale."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._read = UNKNOWN
        self._read_at = datetime.min.replace(tzinfo=UTC)
        self._away = False

    async def run(self) -> None:
        while True:
            try:
                await self.refresh()
            except PlatformError as error:
                if not self._away:  # an outage is one line
                    log.warning("figures_not_read", error=str(error))
                self._away = True
            except Exception:
                log.exception("figures_not_read")
            else:
                self._away = False
            await asyncio.sleep(_EVERY.total_seconds())

    async def refresh(self) -> None:
        async with transaction(self._pool) as connection:
            self._read = await read_platform_figures(connection)
        self._read_at = datetime.now(UTC)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        stale = datetime.now(UTC) - self._read_at > _STALE_AFTER
        return families(UNKNOWN if stale else self._read)


def families(read: PlatformFigures) -> Iterator[GaugeMetricFamily]:
    open_phases = [phase for phase in TrainingJobPhase if not phase.final]
    yield _by_phase("sentops_training_jobs", "Open training jobs.", open_phases, read.open_jobs)
    yield _by_phase(
        "sentops_model_versions",
        "Versions, by where their roll-out stands.",
        list(ModelVersionPhase),
        read.model_versions,
    )
    yield _moment(
        "sentops_training_last_failure_timestamp_seconds",
        "When a training last failed; a cancelled one has not.",
        read.last_training_failure,
    )
    yield _moment(
        "sentops_training_last_success_timestamp_seconds",
        "When a training last came to a verdict of the gate, whichever.",
        read.last_training_success,
    )
    yield _moment(
        "sentops_training_last_progress_timestamp_seconds",
        "When the running training was last heard of; absent without one.",
        read.last_training_progress,
    )
    yield _value(
        "sentops_training_progress_ratio",
        "How far the running training is; absent without one.",
        read.training_progress,
    )
    yield _moment(
        "sentops_rollout_last_failure_timestamp_seconds",
        "When a version was last rolled back or quarantined.",
        read.last_rollout_failure,
    )
    yield _moment(
        "sentops_backup_last_success_timestamp_seconds",
        "When a whole backup was last made; absent when none ever was.",
        read.last_backup,
    )


@asynccontextmanager
async def figures(pool: Pool, registry: CollectorRegistry) -> AsyncIterator[None]:
    """Read again and again while the block runs."""
    found = Figures(pool)
    registry.register(found)
    task = asyncio.create_task(found.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        registry.unregister(found)


def _by_phase(
    name: str,
    documentation: str,
    phases: list[TrainingJobPhase] | list[ModelVersionPhase],
    counts: Mapping[str, int] | None,
) -> GaugeMetricFamily:
    """Every phase once anything is known, so that 0 is seen."""
    family = GaugeMetricFamily(name, documentation, labels=("phase",))
    if counts is not None:
        for phase in phases:
            family.add_metric((phase.value,), counts.get(phase.value, 0))
    return family


def _moment(name: str, documentation: str, value: datetime | None) -> GaugeMetricFamily:
    return _value(name, documentation, None if value is None else value.timestamp())


def _value(name: str, documentation: str, value: float | None) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, documentation)
    if value is not None:
        family.add_metric((), value)
    return family
