"""What is made of a Job and its pods."""

from typing import Any

import pytest

from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import TrainerStatus
from sentops_core.domain.run import Run, RunExit, RunState
from sentops_operator.run_observation import observe_run
from tests.operator.unit.things import (
    DISRUPTED,
    a_job,
    a_pod,
    ended,
    not_scheduled,
    reported,
    waits,
)
from tests.support.builders import a_result

Manifest = dict[str, Any]
FAILED = a_job(condition="Failed", reason="BackoffLimitExceeded", message="it has failed")


def seen(job: Manifest | None, *pods: Manifest) -> Run:
    run = observe_run([job] if job else [], pods, None)
    assert run is not None
    return run


def test_without_a_job_there_is_no_run() -> None:
    assert observe_run([], [a_pod("Running")], None) is None


def test_a_job_without_pods_is_starting() -> None:
    run = seen(a_job())
    assert (run.state, run.reference, run.attempt) == (RunState.STARTING, "first-1", 1)
    assert "Waiting for the Job's pod" in run.message


@pytest.mark.parametrize(
    ("pod", "reason", "words"),
    [
        (a_pod(), None, "The pod is starting"),
        (
            a_pod(conditions=not_scheduled("Unschedulable", "0/3 nodes are available")),
            Reason.UNSCHEDULABLE,
            "0/3 nodes are available",
        ),
        (a_pod(conditions=not_scheduled("Unschedulable")), Reason.UNSCHEDULABLE, "no node fits"),
        (
            a_pod(conditions=not_scheduled("SchedulingGated")),
            Reason.WAITING_FOR_CAPACITY,
            "scheduling gate",
        ),
        *(
            (a_pod(containers=waits(why)), Reason.IMAGE_PULL_FAILED, f"here/it:1 cannot be pulled ({why})")
            for why in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
        ),
        *(
            (a_pod(containers=waits(why)), Reason.RUN_STARTING, f"cannot be made ({why}): no such thing")
            for why in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
        ),
        (a_pod(containers=waits("ContainerCreating", "")), None, "is starting"),
        (
            a_pod(initContainerStatuses=waits("ErrImagePull", image="mesh:1")),
            Reason.IMAGE_PULL_FAILED,
            "mesh:1 cannot be pulled",
        ),
    ],
)  # fmt: skip
def test_a_pod_that_does_not_start_says_why(
    pod: Manifest, reason: Reason | None, words: str
) -> None:
    run = seen(a_job(), pod)
    assert (run.state, run.reason) == (RunState.STARTING, reason)
    assert words in run.message


def test_a_running_pod_is_a_running_run_with_its_progress() -> None:
    progress = TrainerStatus(progress_percentage=40)
    run = observe_run([a_job()], [a_pod("Running")], progress)
    assert run is not None
    assert (run.state, run.progress) == (RunState.RUNNING, progress)


def test_a_pod_that_ended_well_is_running_until_its_job_says_so() -> None:
    assert seen(a_job(), a_pod("Succeeded", containers=ended(0))).state is RunState.RUNNING


def test_a_complete_job_gives_the_report() -> None:
    pod = a_pod("Succeeded", containers=reported(a_result()))
    run = seen(a_job(condition="Complete"), pod)
    assert run.state is RunState.FINISHED
    assert run.result == a_result()


@pytest.mark.parametrize("message", ["", "no json", '{"exit": 0}', "{", '{"exit": 0} and more'])
def test_a_complete_job_with_an_unreadable_report_has_none(message: str) -> None:
    pod = a_pod("Succeeded", containers=ended(0, message=message))
    run = seen(a_job(condition="Complete"), pod)
    assert (run.state, run.result) == (RunState.FINISHED, None)


@pytest.mark.parametrize("code", [RunExit.BAD_DATA, RunExit.BAD_SPEC, RunExit.BASE_MODEL])
def test_a_failed_job_with_a_report_gives_it(code: RunExit) -> None:
    run = seen(FAILED, a_pod("Failed", containers=reported(a_result(code))))
    assert run.state is RunState.FINISHED
    assert run.result is not None
    assert run.result.exit is code


def test_a_run_that_failed_without_a_report_is_lost_with_the_end_of_its_log() -> None:
    run = seen(FAILED, a_pod("Failed", containers=ended(1, message="Traceback: boom")))
    assert (run.state, run.reason, run.disrupted) == (RunState.LOST, Reason.RUN_LOST, False)
    assert run.message == "Ended with exit code 1: Traceback: boom"


def test_a_run_killed_for_its_memory_says_which_limit_to_raise() -> None:
    pod = a_pod("Failed", containers=ended(137, reason="OOMKilled", message="half a log"))
    run = seen(FAILED, pod)
    assert (run.state, run.reason, run.disrupted) == (RunState.LOST, Reason.OUT_OF_MEMORY, False)
    assert "spec.trainer.resources.limits.memory" in run.message


@pytest.mark.parametrize(
    "pod",
    [
        a_pod("Failed", reason="Evicted", message="The node was low on memory"),
        a_pod("Failed", conditions=DISRUPTED, containers=ended(143)),
        a_pod("Failed", conditions=DISRUPTED),
    ],
)
def test_what_the_cluster_ended_is_disrupted(pod: Manifest) -> None:
    run = seen(FAILED, pod)
    assert (run.state, run.reason, run.disrupted) == (RunState.LOST, Reason.EVICTED, True)


def test_a_disruption_that_was_called_off_is_none() -> None:
    called_off = [{**DISRUPTED[0], "status": "False"}]
    run = seen(FAILED, a_pod("Failed", conditions=called_off, containers=ended(1)))
    assert not run.disrupted


def test_an_evicted_run_that_reported_a_failure_is_still_disrupted() -> None:
    pod = a_pod("Failed", conditions=DISRUPTED, containers=reported(a_result(RunExit.FAILED)))
    run = seen(FAILED, pod)
    assert (run.state, run.disrupted) == (RunState.FINISHED, True)


def test_an_evicted_pod_whose_job_makes_another_is_starting_again() -> None:
    evicted = a_pod("Failed", reason="Evicted", message="low on disk")
    run = seen(a_job(), evicted)
    assert (run.state, run.reason) == (RunState.STARTING, Reason.EVICTED)
    assert "low on disk" in run.message
    assert seen(a_job(), evicted, a_pod("Running", created=5)).state is RunState.RUNNING


def test_the_end_of_the_successor_counts_not_that_of_the_evicted_pod() -> None:
    evicted = a_pod("Failed", reason="Evicted")
    killed = a_pod("Failed", created=5, containers=ended(137, reason="OOMKilled"))
    run = seen(FAILED, evicted, killed)
    assert (run.reason, run.disrupted) == (Reason.OUT_OF_MEMORY, False)


def test_a_job_that_ran_out_of_time_says_so() -> None:
    job = a_job(condition="Failed", reason="DeadlineExceeded", message="longer than 60 s")
    run = seen(job)
    assert (run.state, run.reason) == (RunState.LOST, Reason.DEADLINE_EXCEEDED)
    assert run.message == "longer than 60 s"


def test_a_failed_job_whose_pod_went_with_its_node_is_disrupted() -> None:
    run = seen(FAILED)
    assert (run.state, run.disrupted, run.message) == (RunState.LOST, True, "it has failed")


def test_a_job_that_we_stopped_is_stopped_once_its_pod_has_ended() -> None:
    stopped = a_job(suspend=True, annotations={"sentops.dev/stopped": "true"})
    assert seen(stopped, a_pod("Running")).state is RunState.RUNNING
    assert seen(stopped, a_pod("Failed", containers=ended(143))).state is RunState.STOPPED
    assert seen(stopped).state is RunState.STOPPED


def test_a_job_that_kueue_holds_back_waits_for_room() -> None:
    run = seen(a_job(suspend=True))
    assert (run.state, run.reason) == (RunState.STARTING, Reason.WAITING_FOR_CAPACITY)


def test_a_run_that_finished_while_it_was_stopped_has_finished() -> None:
    job = a_job(condition="Complete", suspend=True, annotations={"sentops.dev/stopped": "true"})
    pod = a_pod("Succeeded", containers=reported(a_result()))
    assert seen(job, pod).result == a_result()


def test_the_first_of_several_nodes_reports() -> None:
    first = a_pod("Succeeded", index=0, containers=reported(a_result()))
    other = a_pod("Succeeded", index=1, containers=ended(0))
    assert seen(a_job(condition="Complete"), other, first).result == a_result()


def test_with_several_nodes_the_slowest_decides() -> None:
    stuck = a_pod(index=1, conditions=not_scheduled("Unschedulable", "no gpu"))
    run = seen(a_job(), a_pod("Running", index=0), stuck)
    assert (run.state, run.reason) == (RunState.STARTING, Reason.UNSCHEDULABLE)


def test_the_node_that_broke_is_the_reason_not_those_it_interrupted() -> None:
    interrupted = a_pod("Failed", index=0, containers=reported(a_result(RunExit.CANCELLED)))
    broken = a_pod("Failed", index=1, containers=ended(137, reason="OOMKilled"))
    run = seen(FAILED, interrupted, broken)
    assert (run.state, run.reason, run.disrupted) == (RunState.LOST, Reason.OUT_OF_MEMORY, False)


def test_when_every_node_was_interrupted_the_report_of_the_interruption_counts() -> None:
    pods = [
        a_pod("Failed", index=index, containers=reported(a_result(RunExit.CANCELLED)))
        for index in (0, 1)
    ]
    run = seen(FAILED, *pods)
    assert run.result is not None
    assert run.result.exit is RunExit.CANCELLED


def test_one_node_evicted_and_the_others_broken_by_it_is_a_disruption() -> None:
    broken = a_pod("Failed", index=0, containers=ended(1, message="connection reset by peer"))
    evicted = a_pod("Failed", index=1, reason="Evicted")
    assert seen(FAILED, broken, evicted).disrupted


def test_the_newest_attempt_counts_and_only_its_pods() -> None:
    pods = [a_pod("Failed", attempt=9, containers=ended(1)), a_pod("Running", attempt=10)]
    run = observe_run([a_job(9, condition="Failed"), a_job(10)], pods, None)
    assert run is not None
    assert (run.attempt, run.state) == (10, RunState.RUNNING)


def test_the_pod_of_an_earlier_job_of_that_name_is_not_the_runs() -> None:
    stranger = a_pod("Succeeded", controller="another", containers=reported(a_result()))
    assert seen(a_job(), stranger).state is RunState.STARTING
    assert seen(a_job(condition="Complete"), stranger).result is None


def test_a_container_that_a_mesh_added_does_not_speak_for_the_run() -> None:
    mesh = ended(0, reason="Completed", name="istio-proxy")
    pod = a_pod("Failed", containers=[*mesh, *ended(137, reason="OOMKilled")])
    assert seen(FAILED, pod).reason is Reason.OUT_OF_MEMORY
