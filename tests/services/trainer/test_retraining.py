"""From what people said to a training without a human step, on rows and on custom resources; and what can go wrong."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sentops_core.domain.conditions import find_condition
from sentops_core.domain.errors import Unavailable
from sentops_core.domain.resources import RetrainOutcome, RetrainPolicyStatus, TriggerName
from sentops_core.kube.kinds import RETRAIN_POLICY, TRAINING_JOB
from sentops_core.store.pool import Pool
from sentops_trainer.retraining.template import training_job
from tests.services.trainer.retraining_grounds import (
    NAMESPACE,
    SPEC,
    Ground,
    OnResources,
    OnRows,
    failing_at,
    on_resources,
)

pytestmark = pytest.mark.pg

NIGHTLY = {"schedule": {"cron": "* * * * *", "startingDeadlineSeconds": 60}}


class Killed(BaseException):
    """As by kill -9: nothing of ours catches it."""


@pytest.fixture(params=["rows", "resources"])
async def ground(
    request: pytest.FixtureRequest,
    pool: Pool,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Ground]:
    if request.param == "rows":
        yield OnRows(pool, database_url, tmp_path)
    else:
        async with on_resources(pool, database_url, tmp_path, monkeypatch) as ground:
            yield ground


async def status_of(ground: Ground, name: str = "weekly") -> RetrainPolicyStatus:
    return (await ground.policy(name)).status


def ready_of(status: RetrainPolicyStatus) -> tuple[str, str]:
    ready = find_condition(status.conditions, "Ready")
    assert ready is not None
    return ready.status.value, ready.reason.value


async def actions(ground: Ground, name: str = "weekly") -> list[str]:
    return [line.action.split(".")[1] for line in await ground.audit(name) if line.actor.startswith("policy:")]  # fmt: skip


async def test_new_labels_become_a_dataset_and_a_training(ground: Ground) -> None:
    await ground.dataset()
    await ground.apply()
    await ground.people_say(4)
    await ground.loop.round()
    waiting = await status_of(ground)
    assert waiting.last_decision is not None
    assert waiting.last_decision.reason == "4 new labels since v1, of 5 wanted."
    assert (waiting.last_decision.outcome, ready_of(waiting)) == ("Wait", ("True", "Watching"))
    assert waiting.observed_generation == 1
    assert await ground.jobs() == []

    await ground.people_say(1)
    await ground.loop.round()
    [job] = await ground.jobs()
    assert job.metadata.labels == {"sentops.dev/retrain-policy": "weekly"}
    assert job.metadata.annotations["sentops.dev/retrain-trigger"] == "newLabels"
    assert (job.spec.trainer.method, job.spec.fast_path) == ("Linear", "Off")
    assert await ground.versions_of_dataset() == [("v1", "test"), ("v2", "policy:weekly")]
    started = await status_of(ground)
    assert started.last_decision is not None
    assert started.last_decision.outcome is RetrainOutcome.START
    assert started.last_decision.trigger is TriggerName.NEW_LABELS
    assert (started.last_training_job, started.trainings_today) == (job.metadata.name, 1)
    assert started.starting is None

    await ground.loop.round()
    assert [one.metadata.name for one in await ground.jobs()] == [job.metadata.name]
    after = (await status_of(ground)).last_decision
    assert after is not None
    assert after.reason == "0 new labels since v2, of 5 wanted."
    lines = await ground.audit()
    told = [line.evidence["outcome"] for line in lines if line.action == "retrain_policy.decided"]
    assert told == ["Wait", "Start", "Wait"]
    figures = {one.name: one.value for one in started.last_decision.inputs}
    assert figures["newLabels"] == "5"
    decided = "sentops_retrain_decisions_total"
    assert [ground.metric(decided, outcome=one) for one in ("Start", "Wait", "Failed")] == [1, 2, 0]
    assert ground.metric("sentops_retrain_last_decision_timestamp_seconds", policy="weekly")


async def test_one_is_in_flight_at_a_time_and_two_policies_do_not_overlap(ground: Ground) -> None:
    await ground.dataset()
    await ground.apply("first")
    await ground.apply("second")
    await ground.people_say(6)
    await ground.loop.round()
    [job] = await ground.jobs()
    await ground.people_say(6)
    await ground.loop.round()
    assert len(await ground.jobs()) == 1
    decision = (await status_of(ground, "second")).last_decision
    assert decision is not None
    assert f"Waits for {job.metadata.name}, which is under way." in decision.reason
    await ground.finish(job.metadata.name)
    await ground.loop.round()
    assert len(await ground.jobs()) == 2


async def test_a_dry_run_says_once_what_it_would_do_and_does_nothing(ground: Ground) -> None:
    await ground.dataset()
    await ground.apply(dryRun=True, guards=SPEC["guards"] | {"cooldownSeconds": 3600})
    await ground.people_say(6)
    await ground.loop.round()
    status = await status_of(ground)
    assert status.last_decision is not None
    assert status.last_decision.outcome is RetrainOutcome.WOULD_START
    assert [start.dry_run for start in status.recent_starts] == [True]
    assert (status.trainings_today, status.last_training_job) == (0, None)
    await ground.loop.round()
    await ground.loop.round()
    assert await ground.jobs() == []
    assert ground.building.requests == []
    lines = [line for line in await ground.audit() if line.action == "retrain_policy.decided"]
    assert [line.evidence["outcome"] for line in lines] == ["WouldStart", "Wait"]

    await ground.apply(guards=SPEC["guards"] | {"cooldownSeconds": 3600})
    await ground.loop.round()
    assert len(await ground.jobs()) == 1, "what only would have been started holds nothing back"


async def test_a_suspended_policy_starts_nothing(ground: Ground) -> None:
    await ground.dataset()
    await ground.apply(suspend=True)
    await ground.people_say(6)
    await ground.loop.round()
    status = await status_of(ground)
    assert ready_of(status) == ("Unknown", "Suspended")
    assert find_condition(status.conditions, "Suspended")
    assert await ground.jobs() == []


@pytest.mark.parametrize("where", ["before the dataset", "after the dataset", "after the job"])
async def test_after_a_crash_the_same_training_is_gone_on_with(ground: Ground, where: str) -> None:
    await ground.dataset()
    await ground.apply()
    await ground.people_say(6)
    if where == "before the dataset":
        ground.building.before = Killed()
    elif where == "after the dataset":
        ground.building.after = Killed()
    else:
        save, calls = ground.substrate.save, 0

        async def killed_at_the_second(*args: object) -> object:
            nonlocal calls
            calls += 1
            if calls > 1:
                raise Killed
            return await save(*args)  # type: ignore[arg-type]

        ground.substrate.save = killed_at_the_second  # type: ignore[method-assign, assignment]
    with pytest.raises(Killed):
        await ground.loop.round()
    begun = (await status_of(ground)).starting
    assert begun is not None
    ground.building.before = ground.building.after = None
    if where == "after the job":
        ground.substrate.save = save  # type: ignore[method-assign]
    await ground.another_loop().round()
    await ground.another_loop().round()
    [job] = await ground.jobs()
    assert job.metadata.name == begun.name
    assert await ground.versions_of_dataset() == [("v1", "test"), ("v2", "policy:weekly")]
    status = await status_of(ground)
    assert (status.starting, status.last_training_job) == (None, begun.name)
    assert status.trainings_today == 1
    await ground.finish(begun.name)
    await ground.another_loop().round()
    assert len(await ground.jobs()) == 1


async def test_what_a_crash_left_waits_for_a_training_that_a_person_started(
    ground: Ground,
) -> None:
    await ground.dataset()
    await ground.apply()
    await ground.people_say(6)
    ground.building.after = Killed()
    with pytest.raises(Killed):
        await ground.loop.round()
    ground.building.after = None
    async with ground.open_control_plane() as plane:
        name, reference = await plane.dataset(None)
        policy = await ground.policy()
        assert policy.status.starting is not None
        by_hand = training_job(
            policy, reference, start=policy.status.starting, store_uri=ground.store_uri
        )
        metadata = by_hand.metadata.model_copy(update={"name": "by-hand", "labels": {}})
        await plane.create_job(by_hand.model_copy(update={"metadata": metadata}), actor="ada")
    assert name == "v2"
    loop = ground.another_loop()
    await loop.round()
    assert [job.metadata.name for job in await ground.jobs()] == ["by-hand"]
    await ground.finish("by-hand")
    await loop.round()
    assert len(await ground.jobs()) == 2


async def test_two_replicas_at_once_start_one_training(ground: Ground) -> None:
    await ground.dataset()
    await ground.apply()
    await ground.people_say(6)
    loops = [ground.loop, ground.another_loop(), ground.another_loop()]
    await asyncio.gather(*(loop.round() for loop in loops))
    assert len(await ground.jobs()) == 1
    assert len(ground.building.requests) == 1


async def test_a_training_that_is_there_already_is_taken_for_the_one_that_was_wanted(
    ground: Ground,
) -> None:
    """As when the answer to its creation was lost on its way."""
    await ground.dataset()
    await ground.apply()
    await ground.people_say(6)
    await ground.loop.round()
    policy = await ground.policy()
    [start] = policy.status.recent_starts
    await ground.carrying_out().start(policy, start)
    assert [one.metadata.name for one in await ground.jobs()] == [start.name]


async def test_a_control_plane_that_is_away_is_waited_for(ground: Ground) -> None:
    await ground.dataset()
    await ground.apply()
    await ground.people_say(6)
    whole = ground.open_control_plane
    ground.open_control_plane = failing_at(whole, Unavailable("The API server does not answer."))
    loop = ground.another_loop()
    await loop.round()
    status = await status_of(ground)
    assert ready_of(status) == ("Unknown", "TrainingNotStarted")
    assert status.last_failure is not None
    assert "The API server does not answer." in status.last_failure.message
    assert status.starting is not None
    await loop.round()
    assert len(ground.building.requests) == 1, "not in a hot loop"
    ground.clock.ahead = timedelta(seconds=61)
    ground.open_control_plane = whole
    await ground.another_loop().round()
    [job] = await ground.jobs()
    assert job.metadata.name == status.starting.name
    mended = await status_of(ground)
    assert (mended.last_failure, ready_of(mended)) == (None, ("True", "Watching"))
    assert await actions(ground) == ["failed", "decided", "decided"]


async def test_votes_that_are_tied_are_said_and_do_not_loop_hot(ground: Ground) -> None:
    guards = SPEC["guards"] | {"minNewLabels": 0}
    await ground.dataset()
    await ground.apply(triggers=NIGHTLY, guards=guards)
    await ground.loop.round()
    await ground.people_say(6, clients=("ada", "bob"))
    ground.clock.ahead = timedelta(seconds=60)
    await ground.loop.round()
    status = await status_of(ground)
    assert ready_of(status) == ("Unknown", "DatasetNotBuilt")
    assert status.last_failure is not None
    assert "People disagree on each of the 6 texts" in status.last_failure.message
    assert status.starting is None
    for minute in range(2, 5):
        ground.clock.ahead = timedelta(minutes=minute)
        await ground.loop.round()
    assert len(ground.building.requests) == 1
    assert await ground.jobs() == []
    assert await actions(ground) == ["decided", "failed", "decided"]
    ground.clock.ahead = timedelta(hours=1, minutes=2)
    await ground.loop.round()
    assert len(ground.building.requests) == 2


async def test_a_full_disk_is_said_and_tried_again_in_a_minute(ground: Ground) -> None:
    await ground.dataset()
    await ground.apply()
    await ground.people_say(6)
    ground.building.before = OSError(28, "No space left on device")
    await ground.loop.round()
    await ground.loop.round()
    status = await status_of(ground)
    assert ready_of(status) == ("Unknown", "DatasetNotBuilt")
    assert status.last_failure is not None
    assert "No space left on device" in status.last_failure.message
    assert len(ground.building.requests) == 1
    ground.building.before = None
    ground.clock.ahead = timedelta(seconds=61)
    await ground.loop.round()
    assert len(await ground.jobs()) == 1


async def test_too_little_data_for_a_dataset_is_said(ground: Ground) -> None:
    await ground.apply()
    await ground.people_say(6)
    await ground.loop.round()
    failure = (await status_of(ground)).last_failure
    assert failure is not None
    assert failure.message.startswith("The dataset could not be built: ")
    assert await ground.jobs() == []
    assert await ground.versions_of_dataset() == []


async def test_without_a_least_number_of_labels_the_newest_dataset_is_trained_on_again(
    ground: Ground,
) -> None:
    await ground.dataset()
    await ground.apply(triggers=NIGHTLY, guards=SPEC["guards"] | {"minNewLabels": 0})
    await ground.loop.round()
    assert await ground.jobs() == [], "times before the policy was there are passed over"
    ground.clock.ahead = timedelta(seconds=60)
    await ground.loop.round()
    assert len(await ground.jobs()) == 1
    assert await ground.versions_of_dataset() == [("v1", "test")]


async def test_a_template_that_does_not_fit_uses_up_no_labels(ground: Ground) -> None:
    await ground.dataset()
    must_pass = {"gate": {"mustPass": [{"text": "wow", "label": "joy"}]}}
    await ground.apply(template=SPEC["template"] | must_pass)
    await ground.people_say(6)
    await ground.loop.round()
    status = await status_of(ground)
    assert ready_of(status) == ("Unknown", "TrainingNotStarted")
    assert status.last_failure is not None
    assert "names the label 'joy'" in status.last_failure.message
    assert ground.building.requests == []
    await ground.apply()
    await ground.loop.round()
    assert len(await ground.jobs()) == 1, "another spec is tried at once"


async def test_figures_of_the_champion_trigger_when_they_are_fresh(ground: Ground) -> None:
    quality = {"metric": "macro_f1", "floor": "0.75", "window": "24h", "minVotes": 50}
    drift = {"window": "1h", "windows": 2}
    await ground.dataset()
    await ground.people_say(6)
    await ground.apply("by-quality", triggers={"quality": quality}, dryRun=True)
    await ground.apply("by-drift", triggers={"drift": drift}, dryRun=True)

    async def outcomes() -> tuple[str, str]:
        await ground.loop.round()
        found = []
        for name in ("by-quality", "by-drift"):
            decision = (await status_of(ground, name)).last_decision
            assert decision is not None
            found.append(decision.outcome.value)
        return found[0], found[1]

    assert await outcomes() == ("Unknown", "Unknown"), "no version serves"
    await ground.champion()
    assert await outcomes() == ("Unknown", "Unknown"), "no figures"
    now = datetime.now(UTC)
    await figures(ground, now - timedelta(hours=3))
    await drifted(ground, now - timedelta(hours=3), "length")
    await drifted(ground, now - timedelta(hours=4), "length")
    assert await outcomes() == ("Unknown", "Unknown"), "old figures"
    await figures(ground, now, votes=49)
    await drifted(ground, now, "length")
    assert await outcomes() == ("Unknown", "Unknown"), "too few votes; a window without figures"
    await figures(ground, now, language="it", votes=500)
    await figures(ground, now, window="7d", votes=500)
    await figures(ground, now, version="sentiment-v2", votes=500)
    assert (await outcomes())[0] == "Unknown", "of another language, window, version"
    await figures(ground, now, votes=50)
    await drifted(ground, now - timedelta(hours=1), "words")
    assert await outcomes() == ("WouldStart", "WouldStart")


async def figures(
    ground: Ground,
    at: datetime,
    *,
    version: str = "sentiment-v1",
    window: str = "24h",
    language: str = "all",
    votes: int = 100,
) -> None:
    async with ground.pool.acquire() as connection:
        await connection.execute(
            """
            INSERT INTO quality_figures (model_version, time_window, language, hour, taken_at, answers, votes,
                                         accuracy, accuracy_low, macro_f1, macro_f1_low)
            VALUES ($1, $2, $3, date_trunc('hour', $4::timestamptz, 'UTC'), $4, 1000, $5, 0.9, 0.85, 0.8, 0.74)
                ON CONFLICT (model_version, time_window, language, hour) DO UPDATE SET votes = EXCLUDED.votes
            """,
            version,
            window,
            language,
            at,
            votes,
        )


async def drifted(ground: Ground, at: datetime, feature: str) -> None:
    async with ground.pool.acquire() as connection:
        await connection.executemany(
            """
            INSERT INTO drift_figures (model_version, time_window, feature, hour, taken_at, samples,
                                       reference_samples, distance, p_value, adjusted_p_value, drifted)
            VALUES ('sentiment-v1', '1h', $1, date_trunc('hour', $2::timestamptz, 'UTC'), $2, 500, 500, 0.3, 0, 0, $3)
            """,
            [(one, at, one == feature) for one in ("length", "words", "labels")],
        )


async def test_a_policy_that_is_deleted_while_it_is_looked_at_starts_nothing(
    ground: Ground,
) -> None:
    await ground.dataset()
    await ground.apply()
    await ground.people_say(6)
    starts = ground.substrate.starts

    async def deleted_meanwhile(name: str) -> object:
        await ground.delete()
        return await starts(name)

    ground.substrate.starts = deleted_meanwhile  # type: ignore[method-assign, assignment]
    await ground.loop.round()
    assert await ground.jobs() == []
    await ground.loop.round()
    assert ground.metric("sentops_retrain_last_decision_timestamp_seconds", policy="weekly") is None


async def test_a_policy_that_is_changed_while_it_is_looked_at_is_looked_at_again(
    ground: Ground,
) -> None:
    await ground.dataset()
    await ground.apply()
    await ground.people_say(6)
    starts = ground.substrate.starts

    async def suspended_meanwhile(name: str) -> object:
        await ground.apply(suspend=True)
        return await starts(name)

    ground.substrate.starts = suspended_meanwhile  # type: ignore[method-assign, assignment]
    await ground.loop.round()
    assert await ground.jobs() == []
    await ground.loop.round()
    assert ready_of(await status_of(ground)) == ("Unknown", "Suspended")


async def test_one_policy_that_fails_does_not_hold_up_the_others(ground: Ground) -> None:
    await ground.dataset()
    await ground.apply("a-broken")
    await ground.apply("weekly")
    await ground.people_say(6)
    starts = ground.substrate.starts

    async def broken(name: str) -> object:
        if name == "a-broken":
            raise RuntimeError("a defect")
        return await starts(name)

    ground.substrate.starts = broken  # type: ignore[method-assign, assignment]
    await ground.loop.round()
    assert len(await ground.jobs()) == 1


@pytest.fixture
async def cluster(
    pool: Pool, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[OnResources]:
    async with on_resources(pool, database_url, tmp_path, monkeypatch) as ground:
        yield ground


async def test_an_invalid_resource_has_a_condition_and_is_written_once(
    cluster: OnResources,
) -> None:
    await cluster.apply("odd", triggers={"schedule": {"cron": "whenever"}})
    await cluster.apply("local", template={"baseModel": {"storageUri": "file:///models/mine"}})
    await cluster.apply()
    await cluster.loop.round()
    for name, words in (("odd", "five fields"), ("local", "pods cannot reach")):
        status = cluster.kube.get(RETRAIN_POLICY, name, namespace=NAMESPACE)["status"]
        [ready] = status["conditions"]
        assert (ready["type"], ready["status"], ready["reason"]) == (
            "Ready",
            "False",
            "InvalidSpec",
        )
        assert words in ready["message"]
        assert status["observedGeneration"] == 1
    assert ready_of(await status_of(cluster)) == ("True", "Watching")
    before = cluster.kube.get(RETRAIN_POLICY, "odd", namespace=NAMESPACE)["metadata"]
    await cluster.loop.round()
    after = cluster.kube.get(RETRAIN_POLICY, "odd", namespace=NAMESPACE)["metadata"]
    assert before["resourceVersion"] == after["resourceVersion"]
    await cluster.apply("odd")
    await cluster.loop.round()
    assert ready_of(await status_of(cluster, "odd")) == ("True", "Watching")


async def test_only_the_status_of_a_resource_is_written(cluster: OnResources) -> None:
    await cluster.dataset()
    await cluster.apply()
    await cluster.people_say(6)
    cluster.kube.calls.clear()
    await cluster.loop.round()
    writes = {(call.verb, call.resource) for call in cluster.kube.calls if call.verb not in {"get", "list"}}  # fmt: skip
    assert writes == {("patch", "retrainpolicies/status"), ("create", "trainingjobs")}


async def test_a_training_that_was_deleted_is_not_started_again(cluster: OnResources) -> None:
    """Terminal is sticky: the status remembers what the API server forgot."""
    await cluster.dataset()
    await cluster.apply(guards=SPEC["guards"] | {"cooldownSeconds": 3600})
    await cluster.people_say(6)
    await cluster.loop.round()
    [job] = await cluster.jobs()
    cluster.kube.delete(TRAINING_JOB, job.metadata.name, namespace=NAMESPACE)
    await cluster.people_say(6)
    await cluster.loop.round()
    assert await cluster.jobs() == []
    status = await status_of(cluster)
    assert status.last_training_job == job.metadata.name
    assert status.last_decision is not None
    assert "began less than 3600 s before" in status.last_decision.reason
    cluster.clock.ahead = timedelta(hours=1, minutes=1)
    await cluster.loop.round()
    [other] = await cluster.jobs()
    assert other.metadata.name != job.metadata.name
