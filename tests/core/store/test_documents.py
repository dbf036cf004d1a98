"""Training jobs, model versions and routing: documents in tables, changed by one hand at a time."""

import asyncio
from datetime import timedelta

import pytest

from sentops_core.domain.errors import Conflict, NotFound
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import (
    Approval,
    DesiredState,
    Metadata,
    ModelVersionPhase,
    ModelVersionStatus,
    Routing,
    TrainingJobPhase,
    TrainingJobStatus,
    Variant,
)
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.pool import Connection, Pool, transaction
from sentops_core.store.routing import RoutingTable
from sentops_core.store.training_jobs import TrainingJobs
from tests.support.builders import NOW, a_digest, a_model_version, a_training_job

pytestmark = pytest.mark.pg

RUNNING = TrainingJobStatus(phase=TrainingJobPhase.RUNNING, attempt=1)
FAILED = TrainingJobStatus(phase=TrainingJobPhase.FAILED)


async def test_a_job_comes_back_as_it_was(connection: Connection) -> None:
    job = a_training_job("a")
    metadata = Metadata(
        name="a",
        uid="u-1",
        generation=3,
        labels={"team": "x"},
        annotations={"why": "è"},
        creation_timestamp=NOW,
    )
    job = job.model_copy(update={"metadata": metadata})
    jobs = TrainingJobs(connection)
    made = await jobs.create(job, created_by="tester")
    assert made.job == job
    assert await jobs.get("a") == made


async def test_a_taken_name_is_a_conflict(connection: Connection) -> None:
    jobs = TrainingJobs(connection)
    await jobs.create(a_training_job("a"), created_by="tester")
    with pytest.raises(Conflict, match="choose another name"):
        await jobs.create(a_training_job("a"), created_by="tester")


async def test_an_unknown_job_is_named(connection: Connection) -> None:
    jobs = TrainingJobs(connection)
    for ask in (jobs.get("x"), jobs.save_status("x", RUNNING), jobs.request_cancel("x")):
        with pytest.raises(NotFound, match="training job x"):
            await ask


async def test_open_jobs_come_in_the_order_they_were_asked_for(connection: Connection) -> None:
    jobs = TrainingJobs(connection)
    for name, age in (("b", 2), ("a", 1), ("done", 3)):
        job = a_training_job(name)
        metadata = Metadata(name=name, creation_timestamp=NOW - timedelta(hours=age))
        await jobs.create(job.model_copy(update={"metadata": metadata}), created_by="tester")
    await jobs.save_status("done", FAILED)
    assert [row.job.metadata.name for row in await jobs.list_open()] == ["b", "a"]
    assert [row.job.metadata.name for row in await jobs.newest()] == ["a", "b", "done"]
    assert len(await jobs.newest(limit=2)) == 2


async def test_a_status_is_saved_only_on_what_was_seen(connection: Connection) -> None:
    jobs = TrainingJobs(connection)
    seen = await jobs.create(a_training_job("a"), created_by="tester")
    suspended = await jobs.set_suspend("a", suspend=True)
    with pytest.raises(Conflict, match="changed by somebody else"):
        await jobs.save_status("a", RUNNING, seen=seen.updated_at)
    saved = await jobs.save_status("a", RUNNING, seen=suspended.updated_at)
    assert saved.job.status == RUNNING
    assert saved.updated_at > suspended.updated_at


async def test_suspending_is_a_new_generation_once(connection: Connection) -> None:
    jobs = TrainingJobs(connection)
    await jobs.create(a_training_job("a"), created_by="tester")
    first = await jobs.set_suspend("a", suspend=True)
    again = await jobs.set_suspend("a", suspend=True)
    assert (first.job.spec.suspend, first.job.metadata.generation) == (True, 2)
    assert again == first
    resumed = await jobs.set_suspend("a", suspend=False)
    assert (resumed.job.spec.suspend, resumed.job.metadata.generation) == (False, 3)


async def test_a_finished_job_is_neither_suspended_nor_cancelled(connection: Connection) -> None:
    jobs = TrainingJobs(connection)
    await jobs.create(a_training_job("a"), created_by="tester")
    await jobs.save_status("a", FAILED)
    with pytest.raises(Conflict, match="failed and cannot be suspended"):
        await jobs.set_suspend("a", suspend=True)
    with pytest.raises(Conflict, match="failed and cannot be cancelled"):
        await jobs.request_cancel("a")


async def test_asking_twice_to_cancel_is_fine(connection: Connection) -> None:
    jobs = TrainingJobs(connection)
    await jobs.create(a_training_job("a"), created_by="tester")
    first = await jobs.request_cancel("a")
    assert first.cancel_requested
    assert await jobs.request_cancel("a") == first


async def test_events_are_read_on_from_the_last_one_seen(connection: Connection) -> None:
    jobs = TrainingJobs(connection)
    await jobs.create(a_training_job("a"), created_by="tester")
    first = await jobs.add_event("a", Reason.CREATED, "Asked for.")
    second = await jobs.add_event("a", Reason.RUN_STARTED, "Attempt 1.", {"loss": 0.5})
    assert await jobs.events("a") == [first, second]
    assert await jobs.events("a", after=first.id) == [second]
    assert second.progress == {"loss": 0.5}


async def test_versions_count_on_past_ten(connection: Connection) -> None:
    """Defect 3 of the earlier systems: v0.1.9 was newer than v0.1.10 by text order."""
    versions = ModelVersions(connection)
    for expected in range(1, 13):
        assert await versions.next_number("sentiment") == expected
        await versions.create(a_model_version(expected), created_by="tester")
    listed = await versions.list_versions("sentiment")
    assert [row.version.spec.version for row in listed] == list(range(12, 0, -1))
    assert await versions.next_number("other") == 1
    assert await versions.list_versions("other") == []


async def test_two_registrations_at_once_get_two_numbers(pool: Pool) -> None:
    async def register() -> None:
        async with transaction(pool) as connection:
            versions = ModelVersions(connection)
            number = await versions.next_number("sentiment")
            await versions.create(a_model_version(number), created_by="tester")

    await asyncio.gather(*(register() for _ in range(4)))
    async with transaction(pool) as connection:
        listed = await ModelVersions(connection).list_versions()
    assert [row.version.spec.version for row in listed] == [4, 3, 2, 1]


async def test_registering_the_same_version_again_is_success(connection: Connection) -> None:
    versions = ModelVersions(connection)
    await TrainingJobs(connection).create(a_training_job("job"), created_by="tester")
    first = await versions.create(a_model_version(1), created_by="tester", training_job="job")
    assert await versions.create(a_model_version(1), created_by="tester") == first
    assert await versions.of_training_job("job") == first
    assert await versions.of_training_job("other") is None
    with pytest.raises(Conflict, match="never change"):
        await versions.create(a_model_version(1, digest=a_digest("f")), created_by="tester")


async def test_the_wanted_state_and_the_approval_are_new_generations(
    connection: Connection,
) -> None:
    versions = ModelVersions(connection)
    seen = await versions.create(a_model_version(1), created_by="tester")
    approval = Approval(approved=True, by="anna", reason="read the card")
    approved = await versions.set_approval("sentiment-v1", approval)
    wanted = await versions.set_desired_state("sentiment-v1", DesiredState.CHAMPION)
    assert approved.version.spec.approval == approval
    assert wanted.version.spec.desired_state is DesiredState.CHAMPION
    assert wanted.version.metadata.generation == 3
    assert await versions.set_desired_state("sentiment-v1", DesiredState.CHAMPION) == wanted
    live = ModelVersionStatus(phase=ModelVersionPhase.LIVE)
    with pytest.raises(Conflict):
        await versions.save_status("sentiment-v1", live, seen=seen.updated_at)
    saved = await versions.save_status("sentiment-v1", live, seen=wanted.updated_at)
    assert saved.version.status == live
    with pytest.raises(NotFound, match="sentiment-v9"):
        await versions.set_desired_state("sentiment-v9", DesiredState.CHAMPION)


def a_variant(version: str, weight: int = 100) -> Variant:
    return Variant(
        name="champion",
        url="http://127.0.0.1:8501/slots/champion",
        model_version=version,
        digest=a_digest(),
        weight=weight,
    )


async def test_the_revision_moves_exactly_when_the_routing_does(connection: Connection) -> None:
    versions, routing = ModelVersions(connection), RoutingTable(connection)
    for number in (1, 2):
        await versions.create(a_model_version(number), created_by="tester")
    assert (await routing.get("sentiment")).routing == Routing(revision=0)

    one = [a_variant("sentiment-v1")]
    first = await routing.save(
        "sentiment", one, champion="sentiment-v1", previous_champion=None, seen_revision=0
    )
    again = await routing.save("sentiment", one, champion="sentiment-v1", previous_champion=None)
    assert first.routing.revision == again.routing.revision == 1

    second = await routing.save(
        "sentiment",
        [a_variant("sentiment-v2")],
        champion="sentiment-v2",
        previous_champion="sentiment-v1",
        seen_revision=1,
    )
    assert second.routing.revision == 2
    assert (second.champion, second.previous_champion) == ("sentiment-v2", "sentiment-v1")
    with pytest.raises(Conflict, match="revision 2"):
        await routing.save(
            "sentiment", one, champion="sentiment-v1", previous_champion=None, seen_revision=1
        )
