"""Where training, roll-outs and backups stand, as the metrics tell it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sentops_core.domain.conditions import ConditionStatus, set_condition
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import (
    ModelVersionPhase,
    ModelVersionStatus,
    TrainerStatus,
    TrainingJobPhase,
    TrainingJobStatus,
)
from sentops_core.store.audit import Audit
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.platform_figures import PlatformFigures, read_platform_figures
from sentops_core.store.pool import Connection
from sentops_core.store.training_jobs import TrainingJobs
from tests.support.builders import a_model_version, a_training_job

pytestmark = pytest.mark.pg

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
Phase = TrainingJobPhase


async def a_job(
    connection: Connection,
    name: str,
    phase: TrainingJobPhase,
    *,
    ended: datetime | None = None,
    reason: Reason | None = None,
    percent: int | None = None,
) -> None:
    conditions: Any = ()
    if reason is not None:
        conditions = set_condition(
            (), "Failed", ConditionStatus.TRUE, reason, "So.", now=NOW, observed_generation=1
        )
    progress = None if percent is None else TrainerStatus(progress_percentage=percent)
    status = TrainingJobStatus(
        phase=phase, completion_time=ended, conditions=conditions, trainer_status=progress
    )
    await TrainingJobs(connection).create(a_training_job(name, status), created_by="test")


async def a_version(
    connection: Connection, number: int, phase: ModelVersionPhase, since: datetime = NOW
) -> None:
    status = ModelVersionStatus(phase=phase, phase_started_at=since)
    await ModelVersions(connection).create(
        a_model_version(number, status=status), created_by="test"
    )


async def test_a_fresh_install_has_counts_of_nothing_and_no_dates(connection: Connection) -> None:
    assert await read_platform_figures(connection) == PlatformFigures(
        open_jobs={}, model_versions={}
    )


async def test_open_jobs_and_versions_are_counted_by_phase(connection: Connection) -> None:
    for name, phase in (("a", Phase.QUEUED), ("b", Phase.QUEUED), ("c", Phase.RUNNING)):
        await a_job(connection, name, phase)
    await a_job(connection, "d", Phase.SUCCEEDED, ended=NOW)
    await a_version(connection, 1, ModelVersionPhase.ARCHIVED)
    await a_version(connection, 2, ModelVersionPhase.LIVE)
    found = await read_platform_figures(connection)
    assert found.open_jobs == {"Queued": 2, "Running": 1}
    assert found.model_versions == {"Archived": 1, "Live": 1}


async def test_a_failure_is_told_until_a_training_comes_to_a_verdict_again(
    connection: Connection,
) -> None:
    day = timedelta(days=1)
    await a_job(connection, "a", Phase.FAILED, ended=NOW - 3 * day, reason=Reason.RUN_FAILED)
    await a_job(connection, "b", Phase.SUCCEEDED, ended=NOW - 2 * day)
    await a_job(connection, "c", Phase.REJECTED, ended=NOW - day)
    found = await read_platform_figures(connection)
    assert found.last_training_failure == NOW - 3 * day
    assert found.last_training_success == NOW - day


async def test_what_a_person_cancelled_has_not_failed(connection: Connection) -> None:
    await a_job(connection, "a", Phase.FAILED, ended=NOW, reason=Reason.CANCELLED)
    assert (await read_platform_figures(connection)).last_training_failure is None


async def test_of_two_runs_the_silent_one_is_told(connection: Connection) -> None:
    jobs = TrainingJobs(connection)
    for name, minutes, percent in (("lively", 1, 80), ("silent", 50, 20)):
        await a_job(connection, name, Phase.RUNNING, percent=percent)
        for earlier in (60, 0):
            at = NOW - timedelta(minutes=minutes + earlier)
            await jobs.add_progress(name, "On.", {"progressPercentage": percent}, at=at)
    found = await read_platform_figures(connection)
    assert found.last_training_progress == NOW - timedelta(minutes=50)
    assert found.training_progress == 0.2


async def test_a_run_that_has_not_reported_yet_was_last_heard_of_when_it_began(
    connection: Connection,
) -> None:
    await a_job(connection, "young", Phase.RUNNING)
    found = await read_platform_figures(connection)
    assert found.last_training_progress is not None
    assert abs(found.last_training_progress - datetime.now(UTC)) < timedelta(minutes=5)
    assert found.training_progress is None


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.QUEUED, Phase.SUSPENDED, Phase.SUCCEEDED])
async def test_what_does_not_run_makes_no_progress(
    connection: Connection, phase: TrainingJobPhase
) -> None:
    await a_job(connection, "a", phase, percent=40)
    found = await read_platform_figures(connection)
    assert (found.last_training_progress, found.training_progress) == (None, None)


async def test_the_last_version_that_was_taken_back_is_told(connection: Connection) -> None:
    hour = timedelta(hours=1)
    await a_version(connection, 1, ModelVersionPhase.ROLLED_BACK, NOW - 2 * hour)
    await a_version(connection, 2, ModelVersionPhase.QUARANTINED, NOW - hour)
    await a_version(connection, 3, ModelVersionPhase.LIVE, NOW)
    assert (await read_platform_figures(connection)).last_rollout_failure == NOW - hour


async def test_a_backup_that_lacks_something_is_none(connection: Connection) -> None:
    audit = Audit(connection)
    whole = await audit.record("cron", "backup.created", "first", {"complete": True})
    await audit.record("cron", "backup.created", "second", {"complete": False})
    await audit.record("cron", "backup.restored", "first", {"complete": True})
    assert (await read_platform_figures(connection)).last_backup == whole.at
