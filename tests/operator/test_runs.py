"""TrainingJobs whose runs do not simply go well."""

from typing import Any

import pytest

from sentops_core.domain.run import RunExit
from sentops_core.kube.kinds import (
    EVENT,
    JOB,
    MODEL_VERSION,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    SERVICE,
    TRAINING_JOB,
)
from tests.operator.actors import NAMESPACE, Cluster, condition
from tests.operator.conftest import Clock, RunningOperator
from tests.operator.unit.things import DISRUPTED, not_scheduled, waits
from tests.support.builders import a_result
from tests.support.eventually import eventually
from tests.support.kube_objects import ApiError


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (
            {"conditions": not_scheduled("Unschedulable", "0/3 nodes are available")},
            "Unschedulable",
            "0/3 nodes are available",
        ),
        ({"containerStatuses": waits("ErrImagePull")}, "ImagePullFailed", "cannot be pulled"),
        (
            {"containerStatuses": waits("CreateContainerConfigError", 'secret "hub" not found')},
            "RunStarting",
            'secret "hub" not found',
        ),
    ],
)
async def test_why_a_pod_does_not_start_is_in_the_condition(
    cluster: Cluster,
    operator: RunningOperator,
    status: dict[str, Any],
    reason: str,
    words: str,
) -> None:
    async with operator():
        cluster.apply()
        await eventually(cluster.job)
        pod = cluster.start_pod(phase="Pending")
        cluster.pod_is(pod, status)
        await eventually(lambda: words in cluster.trained().get("message", ""))
        assert cluster.trained()["reason"] == reason
        assert cluster.trained()["status"] == "Unknown"
        assert cluster.job_phase() == "Pending"
        cluster.pod_is(pod, {"phase": "Running", "conditions": [], "containerStatuses": []})
        await cluster.job_is_in("Running")
    told = {(event["reason"], event["type"]) for event in cluster.kube.all(EVENT)}
    assert (reason, "Normal" if reason == "RunStarting" else "Warning") in told


async def test_a_run_killed_for_its_memory_is_tried_again_and_counted(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        cluster.apply()
        cluster.end_run(await cluster.running_pod(), None, code=137, reason="OOMKilled")
        await eventually(lambda: cluster.job("first-2"))
        await eventually(lambda: cluster.status()["attempt"] == 2)
        assert cluster.status()["failed"] == 1
        assert "limits.memory" in cluster.trained()["message"]
        cluster.start_pod("first-2")
        await cluster.job_is_in("Running")
        assert cluster.status()["jobName"] == "first-2"


async def test_a_run_that_was_evicted_is_tried_again_and_not_counted(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        cluster.apply(backoffLimit=0)
        pod = await cluster.running_pod()
        cluster.pod_is(pod, {"phase": "Failed", "conditions": DISRUPTED})
        await eventually(lambda: cluster.trained()["reason"] == "Evicted")
        cluster.job_is("first-1", "Failed", "BackoffLimitExceeded")
        await eventually(lambda: cluster.job("first-2"))
        await eventually(lambda: cluster.status()["attempt"] == 2)
        assert cluster.status()["failed"] == 0


async def test_a_run_whose_node_is_gone_is_tried_again_and_not_counted(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        cluster.apply(backoffLimit=0)
        cluster.remove_pod(await cluster.running_pod())
        cluster.job_is("first-1", "Failed", "BackoffLimitExceeded")
        await eventually(lambda: cluster.job("first-2"))
        assert cluster.status()["failed"] == 0


async def test_after_as_many_failures_as_allowed_the_job_has_failed(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        cluster.apply(backoffLimit=1)
        for job in ("first-1", "first-2"):
            await eventually(lambda job=job: cluster.job(job))
            cluster.end_run(cluster.start_pod(job), a_result(RunExit.FAILED), job)
        failed = condition(await cluster.job_is_in("Failed"), "Failed")
        assert failed["reason"] == "BackoffLimitExceeded"
        assert failed["message"] == "2 attempts failed, last: It broke."
        assert cluster.status()["failed"] == 2
    assert [job["metadata"]["name"] for job in cluster.kube.all(JOB)] == ["first-1", "first-2"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (RunExit.BAD_DATA, "BadData"),
        (RunExit.BAD_SPEC, "InvalidSpec"),
        (RunExit.BASE_MODEL, "BaseModelUnavailable"),
    ],
)
async def test_what_another_attempt_cannot_mend_fails_at_once(
    cluster: Cluster, operator: RunningOperator, code: RunExit, reason: str
) -> None:
    async with operator():
        cluster.apply()
        result = a_result(code, message="Two columns are called text.")
        cluster.end_run(await cluster.running_pod(), result)
        failed = condition(await cluster.job_is_in("Failed"), "Failed")
        assert (failed["reason"], failed["message"]) == (reason, "Two columns are called text.")
    assert len(cluster.kube.all(JOB)) == 1


@pytest.mark.parametrize("ending", ["Complete", "Failed"])
async def test_a_jobs_end_that_is_heard_of_before_its_pods_waits_for_the_report(
    cluster: Cluster, operator: RunningOperator, ending: str
) -> None:
    """Watches are separate connections: the news of pods may be late."""
    async with operator() as running:
        cluster.apply()
        pod = await cluster.running_pod()
        good = ending == "Complete"
        code = RunExit.OK if good else RunExit.BAD_DATA
        result = cluster.report("first-1") if good else a_result(code)
        running.cache.see = _deaf_to_pods(running.cache.see)  # type: ignore[method-assign]
        cluster.end_run(pod, result)
        await cluster.job_is_in("Succeeded" if good else "Failed")
    assert len(cluster.kube.all(JOB)) == 1
    assert cluster.status()["attempt"] == 1


def _deaf_to_pods(see: Any) -> Any:
    def hear(kind: Any, found: Any, *, watched: bool = False) -> Any:
        return None if watched and kind == POD else see(kind, found, watched=watched)

    return hear


async def test_a_job_past_its_deadline_is_stopped_and_has_failed(
    cluster: Cluster, operator: RunningOperator, clock: Clock
) -> None:
    async with operator():
        cluster.apply(activeDeadlineSeconds=60)
        await cluster.running_pod()
        clock.forward(seconds=61)
        cluster.annotate(TRAINING_JOB, "first", nudge="1")
        failed = condition(await cluster.job_is_in("Failed"), "Failed")
        assert failed["reason"] == "DeadlineExceeded"
        assert "activeDeadlineSeconds (60)" in failed["message"]
        await eventually(lambda: (cluster.job() or {})["spec"].get("suspend") is True)


async def test_a_deadline_needs_nobody_to_remind_of_it(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        cluster.apply(activeDeadlineSeconds=1)
        await cluster.running_pod()
        failed = condition(await cluster.job_is_in("Failed"), "Failed")
        assert failed["reason"] == "DeadlineExceeded"


async def test_a_suspended_job_is_stopped_and_a_resumed_one_goes_on_as_another_attempt(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        cluster.apply()
        pod = await cluster.running_pod()
        cluster.change(suspend=True)
        await cluster.job_is_in("Suspended")
        await eventually(lambda: (cluster.job() or {})["spec"].get("suspend"))
        stopped = cluster.get(JOB, "first-1")
        assert stopped["metadata"]["annotations"]["sentops.dev/stopped"] == "true"
        assert condition(cluster.get(TRAINING_JOB, "first"), "Suspended")["status"] == "True"
        cluster.change(suspend=False)
        # Its pod writes a checkpoint still.
        await eventually(lambda: condition(cluster.get(TRAINING_JOB, "first"), "Suspended")["status"] == "False")  # fmt: skip
        assert cluster.job("first-2") is None
        cluster.remove_pod(pod)
        await eventually(lambda: cluster.job("first-2"))
        cluster.start_pod("first-2")
        await cluster.job_is_in("Running")
        assert cluster.status()["failed"] == 0


async def test_a_job_suspended_from_the_start_starts_nothing(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        cluster.apply(suspend=True)
        await cluster.job_is_in("Suspended")
        assert cluster.kube.all(JOB) == []
        cluster.change(suspend=False)
        await eventually(lambda: cluster.job("first-1"))


async def test_a_cancelled_job_has_failed_and_its_run_is_stopped(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        cluster.apply()
        await cluster.running_pod()
        cluster.annotate(TRAINING_JOB, "first", cancel="ada")
        failed = condition(await cluster.job_is_in("Failed"), "Failed")
        assert failed["reason"] == "Cancelled"
        await eventually(lambda: (cluster.job() or {})["spec"].get("suspend"))


async def test_a_job_deleted_while_it_ran_is_made_again_once_its_pod_is_gone(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        cluster.apply()
        pod = await cluster.running_pod()
        uid = cluster.get(JOB, "first-1")["metadata"]["uid"]
        cluster.kube.objects.delete(JOB, NAMESPACE, "first-1", orphan=True)  # the pod ends slowly
        await eventually(lambda: "pod of an earlier attempt" in cluster.trained()["message"])
        assert cluster.job() is None
        cluster.remove_pod(pod)
        again = await eventually(cluster.job)
        assert again["metadata"]["uid"] != uid
        assert cluster.status()["failed"] == 0
        assert cluster.status()["attempt"] == 1


async def test_an_attempt_whose_job_was_not_seen_yet_is_taken_as_it_is(
    cluster: Cluster, operator: RunningOperator
) -> None:
    """Killed between making the Job and writing that down, and the pod is heard of before its Job."""
    async with operator() as running:
        cluster.apply()
        await cluster.running_pod()
        running.cache.forget(JOB, cluster.get(JOB, "first-1"))
        cluster.annotate(TRAINING_JOB, "first", nudge="1")
        await eventually(lambda: ("get", "jobs") in cluster.kube.verbs())
        pod = cluster.pods_of("first-1")[0]
        cluster.end_run(pod, cluster.report("first-1"))
        await cluster.job_is_in("Succeeded")
    assert len(cluster.kube.all(JOB)) == 1


async def test_after_its_time_the_leftovers_go_and_what_was_applied_or_made_stays(
    cluster: Cluster, operator: RunningOperator, clock: Clock
) -> None:
    async with operator():
        await cluster.live(ttlSecondsAfterFinished=3600)
        cluster.annotate(TRAINING_JOB, "first", nudge="1")
        assert cluster.job()
        assert cluster.find(PERSISTENT_VOLUME_CLAIM, "first-work")
        clock.forward(hours=1)
        cluster.annotate(TRAINING_JOB, "first", nudge="2")
        await eventually(lambda: not cluster.kube.all(JOB))
        assert cluster.find(PERSISTENT_VOLUME_CLAIM, "first-work") is None
        assert cluster.find(MODEL_VERSION, "sentiment-v1")
        assert cluster.job_phase() == "Succeeded"


async def test_the_end_of_its_time_needs_nobody_to_remind_of_it(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live(ttlSecondsAfterFinished=1)
        await eventually(lambda: not cluster.kube.all(JOB) and not cluster.kube.all(POD))


async def test_a_clean_up_that_was_cut_off_is_done_to_its_end(
    cluster: Cluster, operator: RunningOperator, impatient: None
) -> None:
    async with operator():
        cluster.kube.fail(2, 500, verb="delete", resource="persistentvolumeclaims")
        cluster.kube.fail(2, 500, verb="delete", resource="jobs")
        await cluster.live(ttlSecondsAfterFinished=0)
        await eventually(lambda: not cluster.kube.all(JOB))
        assert cluster.kube.all(PERSISTENT_VOLUME_CLAIM) == []


async def test_a_finished_job_is_left_alone_when_its_children_vanish(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live()
        before = cluster.status()
        cluster.kube.delete(JOB, "first-1", namespace=NAMESPACE)
        cluster.kube.delete(MODEL_VERSION, "sentiment-v1", namespace=NAMESPACE)
        cluster.annotate(TRAINING_JOB, "first", nudge="1")
        cluster.apply(
            "second"
        )  # whatever is done for it comes after what was to be done for the first
        await eventually(lambda: cluster.job("second-1"))
        assert cluster.status() == before
        assert cluster.job("first-1") is None


async def test_nothing_is_made_for_a_job_that_was_deleted_while_it_ran(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator() as running:
        cluster.apply()
        await cluster.running_pod()
        cluster.kube.delete(TRAINING_JOB, "first", namespace=NAMESPACE)
        cluster.apply("second")
        await eventually(lambda: cluster.job("second-1"))
        await eventually(lambda: not running.queue.depth)
    assert {job["metadata"]["name"] for job in cluster.kube.all(JOB)} == {"second-1"}
    claims = cluster.kube.all(PERSISTENT_VOLUME_CLAIM)
    assert [claim["metadata"]["name"] for claim in claims] == ["second-work"]


async def test_a_job_that_is_being_deleted_is_left_alone(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        cluster.apply(metadata={"finalizers": ["somebody.dev/elses"]})
        await cluster.running_pod()
        cluster.kube.delete(
            TRAINING_JOB, "first", namespace=NAMESPACE
        )  # only marked, as in the foreground
        cluster.kube.delete(JOB, "first-1", namespace=NAMESPACE)
        cluster.apply("second")
        await eventually(lambda: cluster.job("second-1"))
        assert cluster.job("first-1") is None


async def test_a_job_of_the_same_name_as_a_deleted_one_starts_from_nothing(
    cluster: Cluster, operator: RunningOperator
) -> None:
    """`kubectl replace --force`: the old Job, its pod and its folder take a while to go."""
    async with operator():
        cluster.apply()
        cluster.end_run(await cluster.running_pod(), cluster.report("first-1"))
        await cluster.job_is_in("Succeeded")
        old = cluster.get(JOB, "first-1")["metadata"]["uid"]
        cluster.kube.objects.delete(TRAINING_JOB, NAMESPACE, "first", orphan=True)
        cluster.apply()
        await eventually(lambda: "first-work is in the way" in cluster.trained().get("message", ""))
        cluster.kube.delete(PERSISTENT_VOLUME_CLAIM, "first-work", namespace=NAMESPACE)
        await eventually(lambda: "Job first-1 is in the way" in cluster.trained()["message"])
        assert cluster.job_phase() == "Pending"
        cluster.kube.delete(JOB, "first-1", namespace=NAMESPACE)
        again = await eventually(cluster.job)
        assert again["metadata"]["uid"] != old
        result = cluster.report("first-1")
        cluster.end_run(cluster.start_pod("first-1"), result)
        await cluster.job_is_in("Succeeded")
        assert cluster.status()["modelVersionRef"] == {"name": "sentiment-v2"}


async def test_a_run_that_the_api_server_refuses_fails_with_its_sentence(
    cluster: Cluster, operator: RunningOperator
) -> None:
    def refuse(new: Any, old: Any, part: Any) -> Any:
        if new["kind"] == "Job":
            raise ApiError(422, "Invalid", 'Job.batch "first-1" is invalid: limits: must be more')
        return new

    cluster.kube.objects.admission = refuse
    async with operator():
        cluster.apply()
        failed = condition(await cluster.job_is_in("Failed"), "Failed")
        assert failed["reason"] == "InvalidSpec"
        assert "limits: must be more" in failed["message"]
        assert "apply it again" in failed["message"]


async def test_a_quota_that_is_used_up_is_waited_for_and_said(
    cluster: Cluster, operator: RunningOperator, impatient: None
) -> None:
    full = [True]

    def refuse(new: Any, old: Any, part: Any) -> Any:
        if new["kind"] == "Job" and full[0]:
            raise ApiError(403, "Forbidden", "exceeded quota: gpus")
        return new

    cluster.kube.objects.admission = refuse
    async with operator():
        cluster.apply()
        await eventually(lambda: "exceeded quota: gpus" in cluster.trained().get("message", ""))
        assert cluster.trained()["reason"] == "WaitingForCapacity"
        full[0] = False
        await eventually(cluster.job)


async def test_a_fraction_of_a_gpu_is_refused(cluster: Cluster, operator: RunningOperator) -> None:
    async with operator():
        cluster.apply(trainer={"resources": {"limits": {"nvidia.com/gpu": "0.5"}}})
        failed = condition(await cluster.job_is_in("Failed"), "Failed")
        assert "write a whole number" in failed["message"]


async def test_several_nodes_get_a_place_to_meet_and_leave_none_behind(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        cluster.apply(trainer={"numNodes": 2}, ttlSecondsAfterFinished=0)
        await eventually(cluster.job)
        assert cluster.find(SERVICE, "run-first-1")
        pods = [cluster.start_pod(index=index) for index in (0, 1)]
        await cluster.job_is_in("Running")
        cluster.end_pod(pods[1], None)
        cluster.end_run(pods[0], cluster.report("first-1"))
        await cluster.job_is_in("Succeeded")
        await eventually(lambda: cluster.find(SERVICE, "run-first-1") is None)
        await eventually(lambda: cluster.job() is None)


async def test_a_job_for_kueue_waits_until_kueue_lets_it_go(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        cluster.apply(metadata={"labels": {"kueue.x-k8s.io/queue-name": "research"}})
        job = await eventually(cluster.job)
        assert job["spec"]["suspend"] is True
        await eventually(lambda: cluster.trained().get("reason") == "WaitingForCapacity")
        cluster.kube.patch(JOB, "first-1", {"spec": {"suspend": False}}, namespace=NAMESPACE)
        await cluster.running_pod()


async def test_a_candidate_under_the_gate_is_registered_and_not_rolled_out(
    cluster: Cluster, operator: RunningOperator
) -> None:
    gate = {"minSamples": 1, "metrics": [{"name": "macro_f1", "min": "0.99"}]}
    async with operator():
        cluster.apply(gate=gate)
        cluster.end_run(await cluster.running_pod(), cluster.report("first-1"))
        job = await cluster.job_is_in("Rejected")
        assert condition(job, "GatePassed")["status"] == "False"
        version = await cluster.version_is("Pending")
        assert version["spec"]["desiredState"] == "Candidate"
    assert cluster.candidate() is None


async def test_a_champion_that_changed_meanwhile_is_compared_with_before_anything_is_promoted(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        cluster.apply("second")
        pod = await cluster.running_pod("second-1")
        await eventually(lambda: cluster.status("second")["attempt"] == 1)
        result = cluster.report("second-1")
        await _live_beside(cluster)
        cluster.end_run(pod, result, "second-1")
        await eventually(lambda: cluster.job("second-2"))
        await eventually(lambda: cluster.trained("second")["reason"] == "ChampionChanged")
        assert cluster.report("second-2").paired is not None


async def _live_beside(cluster: Cluster) -> None:
    """Another job's version becomes champion."""
    cluster.apply("first")
    cluster.end_run(await cluster.running_pod("first-1"), cluster.report("first-1"))
    await eventually(cluster.candidate)
    cluster.roll_out("sentiment-candidate")
    await eventually(cluster.deployment)
    cluster.roll_out()
    await cluster.version_is("Live")
