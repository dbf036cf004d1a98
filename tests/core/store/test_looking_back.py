"""Histories that pages draw: progress, pages of jobs and versions, who served, where a version comes from."""

from datetime import UTC, datetime, timedelta

import pytest

from sentops_core.domain.conditions import Condition, ConditionStatus
from sentops_core.domain.errors import NotFound
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import (
    DesiredState,
    ModelVersionPhase,
    ModelVersionStatus,
)
from sentops_core.domain.version_states import rollback_target
from sentops_core.store.audit import Audit
from sentops_core.store.lineage import version_lineage
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.pool import Pool
from sentops_core.store.serving_history import ServingHistory
from sentops_core.store.training_jobs import MOST_PROGRESS, TrainingJobs
from tests.support.builders import a_model_version, a_training_job

pytestmark = pytest.mark.pg
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


async def test_hours_of_progress_are_kept_in_so_many_points(pool: Pool) -> None:
    async with pool.acquire() as connection:
        jobs = TrainingJobs(connection)
        await jobs.create(a_training_job("a"), created_by="ada")
        first = await jobs.add_event("a", "Created", "Asked for.")
        for number in range(MOST_PROGRESS * 2):
            told = {"progressPercentage": number * 100 // (MOST_PROGRESS * 2)}
            await jobs.add_progress("a", "x", told, at=NOW + timedelta(seconds=5 * number))
        kept = await jobs.progress("a")
        assert MOST_PROGRESS / 3 < len(kept) <= MOST_PROGRESS
        assert (kept[0].at, kept[-1].at) == (
            NOW,
            NOW + timedelta(seconds=5 * (MOST_PROGRESS * 2 - 1)),
        )
        assert [one.id for one in kept] == sorted(one.id for one in kept)
        assert await jobs.news("a") == [first]
        assert await jobs.news("a", before=first.id) == []


async def test_jobs_and_versions_come_in_pages(pool: Pool) -> None:
    async with pool.acquire() as connection:
        jobs, versions = TrainingJobs(connection), ModelVersions(connection)
        for number in range(1, 6):
            job = a_training_job(f"job-{number}")
            at = NOW if number in {2, 3} else NOW + timedelta(minutes=number)
            metadata = job.metadata.model_copy(update={"creation_timestamp": at})
            job = job.model_copy(update={"metadata": metadata})
            await jobs.create(job, created_by="ada")
            version = a_model_version(number)
            await versions.create(version, created_by="ada", training_job=f"job-{number}")
        seen, before = [], None
        while page := await jobs.page(before=before, limit=2):
            seen += [row.job.metadata.name for row in page]
            last = page[-1].job.metadata
            assert last.creation_timestamp is not None
            before = (last.creation_timestamp, last.name)
        assert seen == ["job-5", "job-4", "job-1", "job-3", "job-2"]
        page = await versions.page("sentiment", limit=3)
        assert [row.version.spec.version for row in page] == [5, 4, 3]
        rest = await versions.page("sentiment", before=3)
        assert [row.version.spec.version for row in rest] == [2, 1]
        found = await versions.of_training_jobs(["job-2", "job-9"])
        assert {name: row.version.spec.version for name, row in found.items()} == {"job-2": 2}


async def test_the_version_to_return_to_is_found_among_the_first(pool: Pool) -> None:
    promoted = Condition(
        type="Promoted",
        status=ConditionStatus.TRUE,
        reason=Reason.PROMOTED,
        last_transition_time=NOW,
    )
    async with pool.acquire() as connection:
        versions = ModelVersions(connection)
        for number in range(1, 9):
            status = ModelVersionStatus(
                phase=ModelVersionPhase.ARCHIVED if number < 8 else ModelVersionPhase.CANARY,
                phase_started_at=NOW + timedelta(minutes=-number if number % 2 else number),
                conditions=(promoted,) if number != 6 else (),
            )
            await versions.create(a_model_version(number, status=status), created_by="ada")
        await versions.set_desired_state("sentiment-v4", DesiredState.ARCHIVED)
        everything = [row.version for row in await versions.list_versions("sentiment")]
        wanted = rollback_target(everything, "sentiment-v9")
        assert wanted is not None
        assert rollback_target(await versions.returnable("sentiment"), "sentiment-v9") == wanted
        assert [one.metadata.name for one in await versions.in_flight("sentiment")] == [
            "sentiment-v8"
        ]


async def test_who_served_is_read_from_the_audit_log(pool: Pool) -> None:
    async with pool.acquire() as connection:
        versions, audit = ModelVersions(connection), Audit(connection)
        for number in (1, 2):
            await versions.create(a_model_version(number), created_by="ada")
        first, second = "sentiment-v1", "sentiment-v2"
        await audit.record("sentops", "model_version.live", first, {"from": "Verifying"})
        await audit.record("sentops", "model_version.live", second)
        await audit.record("bob", "model_version.rolled_back", second, {"to": first, "why": "Bad."})
        await audit.record("sentops", "model_version.live", first)
        await audit.record("sentops", "model_version.live", "another-v1")
        found = await ServingHistory(connection).spells("sentiment")
    assert [(one.version, one.taken_back) for one in found] == [
        (first, ""),
        (second, "Bad."),
        (first, ""),
    ]
    assert found[-1].until is None


async def test_a_version_of_unknown_origin_has_a_short_lineage(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await ModelVersions(connection).create(a_model_version(1), created_by="ada")
        found = await version_lineage(connection, "sentiment-v1")
        assert (found.training_job, found.dataset_version, found.sources) == (None, None, ())
        with pytest.raises(NotFound):
            await version_lineage(connection, "sentiment-v9")
