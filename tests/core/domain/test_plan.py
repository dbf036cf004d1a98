"""TrainingJob: any order of events, repeated and lost ones, leads somewhere right and stays there."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentops_core.domain.conditions import find_condition, is_true
from sentops_core.domain.plan import (
    CleanUp,
    RegisterVersion,
    StartRun,
    StopRun,
    TrainingObservation,
    TrainingPlan,
    plan,
)
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import (
    DesiredState,
    TrainingJob,
    TrainingJobPhase,
    TrainingJobStatus,
    Verdict,
)
from sentops_core.domain.run import Run, RunExit, RunState
from tests.support.builders import (
    NOW,
    a_champion,
    a_comparison,
    a_digest,
    a_fast_path_report,
    a_lenient_gate,
    a_result,
    a_run,
    a_training_job,
    an_evaluation,
)

Phase = TrainingJobPhase


def after(
    job: TrainingJob, seen: TrainingObservation, seconds: int = 0
) -> tuple[TrainingJob, TrainingPlan]:
    step = plan(job, seen, now=NOW + timedelta(seconds=seconds))
    return job.model_copy(update={"status": step.status}), step


def finished(**fields: object) -> Run:
    return a_run(RunState.FINISHED, result=a_result(**fields))  # type: ignore[arg-type]


def test_a_new_job_starts_its_first_attempt() -> None:
    job, step = after(a_training_job(), TrainingObservation())
    assert step.actions == (StartRun(1, None),)
    assert job.status.attempt == 1
    assert job.status.phase is Phase.PENDING


def test_why_there_is_another_attempt_stays_said_until_that_one_runs() -> None:
    lost = a_run(RunState.LOST, reason=Reason.OUT_OF_MEMORY, message="Raise the limit.")
    job, _ = after(a_training_job(), TrainingObservation(run=lost))
    starting = a_run(RunState.STARTING, attempt=2, message="The pod is starting.")
    job, _ = after(job, TrainingObservation(run=starting))
    trained = find_condition(job.status.conditions, "Trained")
    assert trained is not None
    assert (trained.reason, trained.message) == (
        Reason.RETRYING,
        "Attempt 1 failed: Raise the limit.",
    )
    stuck = starting.model_copy(update={"reason": Reason.UNSCHEDULABLE, "message": "No node."})
    job, _ = after(job, TrainingObservation(run=stuck))
    trained = find_condition(job.status.conditions, "Trained")
    assert trained is not None
    assert trained.reason is Reason.UNSCHEDULABLE


def test_a_job_waits_in_the_queue_while_another_runs() -> None:
    job, step = after(a_training_job(), TrainingObservation(capacity=False))
    assert step.actions == ()
    assert job.status.phase is Phase.QUEUED


def test_a_run_that_a_queue_holds_back_is_queued_until_it_may_start() -> None:
    held = a_run(RunState.STARTING, reason=Reason.WAITING_FOR_CAPACITY, message="No room yet.")
    job, _ = after(a_training_job(), TrainingObservation(run=held))
    assert job.status.phase is Phase.QUEUED
    job, _ = after(job, TrainingObservation(run=a_run(RunState.STARTING)))
    assert job.status.phase is Phase.PENDING


def test_a_start_that_was_not_written_down_is_found_again() -> None:
    job, step = after(a_training_job(), TrainingObservation(run=a_run()))
    assert step.actions == ()
    assert (job.status.attempt, job.status.phase) == (1, Phase.RUNNING)


def test_a_pod_reason_shows_in_the_condition() -> None:
    run = a_run(RunState.STARTING, reason=Reason.UNSCHEDULABLE, message="no node has a GPU")
    job, _ = after(a_training_job(), TrainingObservation(run=run))
    found = find_condition(job.status.conditions, "Trained")
    assert found is not None
    assert (found.reason, found.message) == (Reason.UNSCHEDULABLE, "no node has a GPU")


def test_a_good_result_registers_a_version_then_succeeds() -> None:
    found = finished(fast_path=a_fast_path_report())
    job, step = after(a_training_job(), TrainingObservation(run=found))
    assert job.status.fast_path == a_fast_path_report()
    (action,) = step.actions
    assert isinstance(action, RegisterVersion)
    assert action.desired_state is DesiredState.CHAMPION
    assert job.status.phase is Phase.EVALUATING
    job, step = after(job, TrainingObservation(run=finished(), version_name="sentiment-v1"))
    assert (job.status.phase, step.actions) == (Phase.SUCCEEDED, ())
    assert is_true(job.status.conditions, "Complete")
    assert job.status.model_version_ref is not None


@pytest.mark.parametrize("mode", ["Manual", "Never"])
def test_only_automatic_promotion_asks_for_the_championship(mode: str) -> None:
    job = a_training_job(promotion={"mode": mode})
    _, step = after(job, TrainingObservation(run=finished()))
    assert isinstance(step.actions[0], RegisterVersion)
    assert step.actions[0].desired_state is DesiredState.CANDIDATE


def test_a_refused_candidate_is_kept_as_a_version_and_the_job_is_rejected() -> None:
    run = finished(evaluation=an_evaluation(0.2))
    job, step = after(a_training_job(), TrainingObservation(run=run))
    assert isinstance(step.actions[0], RegisterVersion)
    assert step.actions[0].desired_state is DesiredState.CANDIDATE
    assert step.actions[0].gate_result.verdict is Verdict.FAIL
    job, _ = after(job, TrainingObservation(run=run, version_name="sentiment-v2"))
    assert job.status.phase is Phase.REJECTED


def test_a_champion_that_changed_meanwhile_means_measuring_again() -> None:
    run = finished(paired=a_comparison(digest=a_digest("c")))
    job, step = after(a_training_job(), TrainingObservation(run=run, champion=a_champion("f")))
    assert step.actions == (StartRun(2, a_champion("f")),)
    assert job.status.phase is Phase.EVALUATING


def test_the_version_that_already_serves_is_not_measured_against_itself() -> None:
    run = finished()
    seen = TrainingObservation(run=run, champion=a_champion("e"), version_name="sentiment-v1")
    job, step = after(a_training_job(), seen)
    assert (job.status.phase, step.actions) == (Phase.SUCCEEDED, ())


def test_a_failed_run_is_tried_again_until_the_limit() -> None:
    job = a_training_job(backoff_limit=1)
    failed = a_run(RunState.FINISHED, result=a_result(RunExit.FAILED))
    job, step = after(job, TrainingObservation(run=failed))
    assert step.actions == (StartRun(2, None),)
    again = failed.model_copy(update={"attempt": 2})
    job, step = after(job, TrainingObservation(run=again))
    assert (job.status.phase, step.actions) == (Phase.FAILED, ())
    assert "It broke." in find_condition(job.status.conditions, "Failed").message  # type: ignore[union-attr]


def test_waiting_for_a_second_attempt_counts_the_failure_once() -> None:
    job = a_training_job(backoff_limit=1)
    seen = TrainingObservation(run=a_run(RunState.LOST), capacity=False)
    for _ in range(5):
        job, _ = after(job, seen)
    assert job.status.phase is Phase.QUEUED
    job, step = after(job, TrainingObservation(run=a_run(RunState.LOST)))
    assert step.actions == (StartRun(2, None),)
    assert job.status.failed == 1


def test_an_eviction_does_not_count() -> None:
    job = a_training_job(backoff_limit=0)
    job, step = after(job, TrainingObservation(run=a_run(RunState.LOST, disrupted=True)))
    assert step.actions == (StartRun(2, None),)
    assert job.status.failed == 0


@pytest.mark.parametrize("exit_code", [RunExit.BAD_DATA, RunExit.BAD_SPEC, RunExit.BASE_MODEL])
def test_what_cannot_get_better_is_not_tried_again(exit_code: RunExit) -> None:
    run = a_run(RunState.FINISHED, result=a_result(exit_code))
    job, step = after(a_training_job(), TrainingObservation(run=run))
    assert (job.status.phase, step.actions) == (Phase.FAILED, ())


def test_suspending_stops_the_run_and_resuming_goes_on() -> None:
    job = a_training_job(suspend=True, status=TrainingJobStatus(phase=Phase.RUNNING, attempt=1))
    job, step = after(job, TrainingObservation(run=a_run()))
    assert step.actions == (StopRun(1),)
    assert job.status.phase is Phase.SUSPENDED
    resumed = job.model_copy(update={"spec": job.spec.model_copy(update={"suspend": False})})
    resumed, step = after(resumed, TrainingObservation(run=a_run(RunState.STOPPED)))
    assert step.actions == (StartRun(2, None),)
    assert resumed.status.failed == 0
    assert not is_true(resumed.status.conditions, "Suspended")


def test_a_cancelled_job_fails_and_its_run_is_stopped() -> None:
    job, step = after(a_training_job(), TrainingObservation(run=a_run(), cancel_requested=True))
    assert (job.status.phase, step.actions) == (Phase.FAILED, (StopRun(1),))


def test_a_job_past_its_deadline_fails() -> None:
    job = a_training_job(active_deadline_seconds=60)
    job, _ = after(job, TrainingObservation())
    job, step = after(job, TrainingObservation(run=a_run()), seconds=61)
    assert (job.status.phase, step.actions) == (Phase.FAILED, (StopRun(1),))


def test_what_the_run_left_is_removed_after_its_time_to_live() -> None:
    status = TrainingJobStatus(phase=Phase.SUCCEEDED, attempt=1, completion_time=NOW)
    job = a_training_job(ttl_seconds_after_finished=10, status=status)
    seen = TrainingObservation(run=finished())
    assert after(job, seen, seconds=9)[1].actions == ()
    assert after(job, seen, seconds=10)[1].actions == (CleanUp(),)


def test_a_run_that_still_ends_keeps_its_folder_until_it_has() -> None:
    status = TrainingJobStatus(phase=Phase.FAILED, attempt=1, completion_time=NOW)
    job = a_training_job(ttl_seconds_after_finished=0, status=status)
    assert after(job, TrainingObservation(run=a_run()))[1].actions == (StopRun(1),)
    assert after(job, TrainingObservation(run=a_run(RunState.STOPPED)))[1].actions == (CleanUp(),)


@pytest.mark.parametrize("late", [{"cancel_requested": True}, {"spec_error": "no"}])
def test_a_job_whose_version_is_registered_is_over_whatever_is_asked_then(
    late: dict[str, object],
) -> None:
    seen = TrainingObservation(run=finished(), version_name="sentiment-v1", **late)  # type: ignore[arg-type]
    for spec in ({}, {"suspend": True}):
        job, _ = after(a_training_job(**spec), seen)
        assert job.status.phase is Phase.SUCCEEDED


def runs() -> st.SearchStrategy[Run | None]:
    results = st.sampled_from(list(RunExit)).map(a_result)
    return st.none() | st.builds(
        lambda state, attempt, disrupted, result: a_run(
            state,
            attempt=attempt,
            disrupted=disrupted,
            result=result if state in {RunState.FINISHED, RunState.STOPPED} else None,
        ),
        st.sampled_from(RunState),
        st.integers(1, 6),
        st.booleans(),
        results,
    )


observations = st.builds(
    TrainingObservation,
    run=runs(),
    champion=st.none() | st.sampled_from([a_champion("c"), a_champion("e")]),
    version_name=st.none() | st.just("sentiment-v1"),
    capacity=st.booleans(),
    cancel_requested=st.booleans(),
    spec_error=st.none() | st.just("no"),
)


@settings(max_examples=300)
@given(seen=st.lists(observations, max_size=12), suspend=st.booleans())
def test_any_order_of_events_keeps_the_rules(
    seen: list[TrainingObservation], suspend: bool
) -> None:
    job = a_training_job(suspend=suspend, backoff_limit=2, gate=a_lenient_gate())
    attempt = 0
    for moment, observation in enumerate(seen):
        before = job.status
        job, step = after(job, observation, seconds=moment)
        again = plan(job, observation, now=NOW + timedelta(seconds=moment))
        if before.phase.final:
            assert job.status == before, "terminal is sticky"
        assert job.status.attempt >= attempt, "attempts never go back"
        attempt = job.status.attempt
        assert job.status.failed <= job.spec.backoff_limit + 1
        starts = [action for action in step.actions if isinstance(action, StartRun)]
        assert len(starts) <= 1
        active = observation.run is not None and observation.run.state in {
            RunState.STARTING,
            RunState.RUNNING,
        }
        if starts and active:
            assert observation.run is not None
            assert observation.run.attempt < before.attempt, "attempts never overlap"
        if not starts:
            assert again.status == job.status, "a step that started nothing is idempotent"
        assert job.status.phase.final == any(
            is_true(job.status.conditions, kind) for kind in ("Complete", "Failed")
        )


def test_a_job_that_keeps_being_observed_ends() -> None:
    job = a_training_job(gate=a_lenient_gate())
    run: Run | None = None
    version: str | None = None
    for _ in range(10):
        job, step = after(job, TrainingObservation(run=run, version_name=version))
        for action in step.actions:
            if isinstance(action, StartRun):
                run = a_run(RunState.FINISHED, attempt=action.attempt, result=a_result())
            if isinstance(action, RegisterVersion):
                version = "sentiment-v1"
    assert job.status.phase is Phase.SUCCEEDED
