"""Gauges that the trainer reads from the database: the same on both substrates, and silent when they are not known."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from sentops_core.domain.resources import TrainingJobPhase, TrainingJobStatus
from sentops_core.store.pool import Pool, open_pool, transaction
from sentops_core.store.training_jobs import TrainingJobs
from sentops_trainer import figures
from sentops_trainer.figures import Figures
from sentops_trainer.settings import LocalSettings
from tests.services.trainer.machines import CONTROL, TOKEN, the_api
from tests.support.builders import a_training_job
from tests.support.eventually import eventually

pytestmark = pytest.mark.pg


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


async def test_nothing_is_said_before_it_is_known_and_zeros_once_it_is(pool: Pool) -> None:
    registry, read = CollectorRegistry(), Figures(pool)
    registry.register(read)
    assert value(registry, "sentops_training_jobs", phase="Running") is None
    await read.refresh()
    assert value(registry, "sentops_training_jobs", phase="Running") == 0
    assert value(registry, "sentops_model_versions", phase="Live") == 0
    assert value(registry, "sentops_training_last_failure_timestamp_seconds") is None
    assert value(registry, "sentops_backup_last_success_timestamp_seconds") is None


async def test_what_was_read_long_ago_says_nothing_about_now(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, read = CollectorRegistry(), Figures(pool)
    registry.register(read)
    await read.refresh()
    monkeypatch.setattr(figures, "_STALE_AFTER", timedelta(0))
    assert value(registry, "sentops_training_jobs", phase="Running") is None


@pytest.fixture
async def trainer(database_url: str, tmp_path: Any) -> AsyncIterator[httpx.AsyncClient]:
    settings = LocalSettings(
        database_url=SecretStr(database_url),
        token=SecretStr(TOKEN),
        store_uri=f"file://{tmp_path}/a%20store",
        model_url="http://127.0.0.1:9",
        model_control_token=SecretStr(CONTROL),
        runs_dir=tmp_path / "runs",
        converge_seconds=60,
    )
    async with the_api(settings) as client:
        yield client


async def test_a_trainer_without_jobs_tells_zeros_and_disks_and_no_dates(
    trainer: httpx.AsyncClient,
) -> None:
    async def text() -> str:
        return (await trainer.get("/metrics")).text

    async def is_known() -> bool:
        return 'sentops_training_jobs{phase="Running"} 0.0' in await text()

    await eventually(is_known)
    found = await text()
    for volume in ("store", "runs"):
        assert f'sentops_disk_free_bytes{{volume="{volume}"}}' in found
    assert "sentops_training_last_failure_timestamp_seconds " in found  # its help
    assert "\nsentops_training_last_failure_timestamp_seconds " not in found


async def test_a_failure_is_read_with_the_next_look(pool: Pool) -> None:
    registry, read = CollectorRegistry(), Figures(pool)
    registry.register(read)
    ended = datetime(2026, 11, 22, 9, tzinfo=UTC)
    status = TrainingJobStatus(phase=TrainingJobPhase.FAILED, completion_time=ended)
    async with transaction(pool) as connection:
        await TrainingJobs(connection).create(a_training_job("a", status), created_by="test")
    await read.refresh()
    name = "sentops_training_last_failure_timestamp_seconds"
    assert value(registry, name) == ended.timestamp()


async def test_a_database_that_goes_away_costs_the_figures_only(database_url: str) -> None:
    pool = await open_pool(database_url, max_size=1)
    read = Figures(pool)
    await read.refresh()
    await pool.close()
    with pytest.raises(Exception, match="database"):
        await read.refresh()
