"""TrainingJob: from what is wanted and what is seen, the next status and the actions that lead there."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self, TypeAlias

from sentops_core.domain.conditions import ConditionStatus, find_condition, is_true
from sentops_core.domain.drafting import StatusDraft
from sentops_core.domain.promotion import judge
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import (
    DesiredState,
    GateResult,
    NameRef,
    PromotionMode,
    TrainingJob,
    TrainingJobPhase,
    TrainingJobStatus,
    Verdict,
)
from sentops_core.domain.run import (
    ChampionRef,
    PublishedArtifact,
    Run,
    RunExit,
    RunResult,
    RunState,
)

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN

# Exit codes after which another attempt with the same spec would end the same way.
_HOPELESS = {
    RunExit.BAD_DATA: Reason.BAD_DATA,
    RunExit.BAD_SPEC: Reason.INVALID_SPEC,
    RunExit.BASE_MODEL: Reason.BASE_MODEL_UNAVAILABLE,
}


_WHY_AGAIN = {Reason.RETRYING, Reason.EVICTED, Reason.RESUMED, Reason.CHAMPION_CHANGED}


@dataclass(frozen=True)
class StartRun:
    """Start this attempt, or find it already started. The run compares itself with `champion`."""

    attempt: int
    champion: ChampionRef | None


@dataclass(frozen=True)
class StopRun:
    """End the attempt, giving it time to write a checkpoint; ended already is success."""

    attempt: int


@dataclass(frozen=True)
class RegisterVersion:
    """Create the ModelVersion of this job's artefact, or find it already there."""

    artifact: PublishedArtifact
    gate_result: GateResult
    desired_state: DesiredState


@dataclass(frozen=True)
class CleanUp:
    """Remove what the attempts left behind; never the TrainingJob, the version or the artefact."""


TrainingAction: TypeAlias = StartRun | StopRun | RegisterVersion | CleanUp


@dataclass(frozen=True)
class TrainingObservation:
    """What a substrate sees now. `run` is the newest attempt; `version` the ModelVersion made from this job."""

    run: Run | None = None
    champion: ChampionRef | None = None
    version_name: str | None = None
    capacity: bool = True
    cancel_requested: bool = False
    spec_error: str | None = None


@dataclass(frozen=True)
class TrainingPlan:
    status: TrainingJobStatus
    actions: tuple[TrainingAction, ...] = ()


@dataclass(frozen=True)
class _Draft(StatusDraft[TrainingJobStatus]):
    def failed(self, reason: Reason, message: str) -> Self:
        return self.to(TrainingJobPhase.FAILED, completion_time=self.now).condition(
            "Failed", TRUE, reason, message
        )

    def plan(self, *actions: TrainingAction) -> TrainingPlan:
        return TrainingPlan(self.status, actions)


def plan(job: TrainingJob, seen: TrainingObservation, *, now: datetime) -> TrainingPlan:
    """The next step for one job; calling it again with nothing changed changes nothing."""
    status = job.status.model_copy(update={"observed_generation": job.metadata.generation})
    if job.status.phase.final:  # finished stays finished, whatever became of the run
        return TrainingPlan(status, _clean_up_when_due(job, seen, now))
    draft = _Draft(status, now)
    stop = _stop_if_active(seen.run)
    if seen.run is not None and _registered(draft, seen, seen.run):
        # Its version may serve already: the job is over but for writing that down.
        return _follow(job, draft, seen, seen.run)
    if seen.cancel_requested:
        return draft.failed(Reason.CANCELLED, "Cancelled on request.").plan(*stop)
    if seen.spec_error is not None:
        return draft.failed(Reason.INVALID_SPEC, seen.spec_error).plan(*stop)
    if job.spec.suspend:
        return _suspend(draft).plan(*stop)
    if is_true(draft.status.conditions, "Suspended"):
        draft = draft.condition("Suspended", FALSE, Reason.RESUMED, "Resumed.")
    if _past_deadline(job, now):
        message = f"Not finished within activeDeadlineSeconds ({job.spec.active_deadline_seconds})."
        return draft.failed(Reason.DEADLINE_EXCEEDED, message).plan(*stop)
    if seen.run is None or seen.run.attempt < draft.status.attempt:
        return _start(draft, seen)
    return _follow(job, draft, seen, seen.run)


def _follow(job: TrainingJob, draft: _Draft, seen: TrainingObservation, run: Run) -> TrainingPlan:
    """The newest attempt exists: say how it is going, or decide what comes after it."""
    # A crash between starting an attempt and saving the status leaves an attempt we had not written down.
    draft = draft.to(draft.status.phase, attempt=run.attempt, job_name=run.reference or None)
    if draft.status.start_time is None:
        draft = draft.to(draft.status.phase, start_time=draft.now)
    match run.state:
        case RunState.STARTING:
            queued = run.reason is Reason.WAITING_FOR_CAPACITY
            draft = draft.to(TrainingJobPhase.QUEUED if queued else TrainingJobPhase.PENDING)
            trained = find_condition(draft.status.conditions, "Trained")
            if run.reason is None and trained is not None and trained.reason in _WHY_AGAIN:
                return draft.plan()  # why there is another attempt says more than that it starts
            reason = run.reason or Reason.RUN_STARTING
            return draft.condition(
                "Trained", UNKNOWN, reason, run.message or "The run is starting."
            ).plan()
        case RunState.RUNNING:
            return (
                draft.to(TrainingJobPhase.RUNNING, trainer_status=run.progress)
                .condition(
                    "Trained", UNKNOWN, Reason.RUN_STARTED, f"Attempt {run.attempt} is running."
                )
                .plan()
            )
        case RunState.STOPPED:
            return _next_attempt(draft, seen, Reason.RESUMED, "Goes on from its last checkpoint.")
        case RunState.LOST:
            reason = run.reason or Reason.RUN_LOST
            return _retry(
                job, draft, seen, run, reason, run.message or "The run ended without a word."
            )
        case RunState.FINISHED:
            if run.result is None:
                return _retry(
                    job, draft, seen, run, Reason.RUN_LOST, "The run's report cannot be read."
                )
            return _finished(job, draft, seen, run, run.result)


def _finished(
    job: TrainingJob, draft: _Draft, seen: TrainingObservation, run: Run, result: RunResult
) -> TrainingPlan:
    if result.exit in _HOPELESS:
        draft = draft.condition("Trained", FALSE, _HOPELESS[result.exit], result.message)
        return draft.failed(_HOPELESS[result.exit], result.message).plan()
    if result.exit is RunExit.CANCELLED:
        # Ended by a signal that was not ours: a node drain, a restart of the machine.
        return _next_attempt(
            draft, seen, Reason.EVICTED, "Interrupted; goes on from its last checkpoint."
        )
    if result.exit is RunExit.FAILED or result.artifact is None or result.evaluation is None:
        return _retry(job, draft, seen, run, result.reason, result.message)
    draft = draft.to(
        TrainingJobPhase.EVALUATING,
        evaluation=result.evaluation,
        fast_path=result.fast_path,
        trainer_status=run.progress or draft.status.trainer_status,
    ).condition("Trained", TRUE, Reason.RUN_FINISHED, result.message)
    if seen.version_name is None and _compared_with_another(result, seen.champion):
        message = "The champion changed meanwhile; the candidate is measured against the new one."
        return _next_attempt(
            draft, seen, Reason.CHAMPION_CHANGED, message, TrainingJobPhase.EVALUATING
        )
    verdict = judge(job.spec.gate, result.evaluation, result.paired, result.must_pass)
    return _decide(job, draft, seen, result.artifact, verdict)


def _decide(
    job: TrainingJob,
    draft: _Draft,
    seen: TrainingObservation,
    artifact: PublishedArtifact,
    verdict: GateResult,
) -> TrainingPlan:
    passed = verdict.verdict is Verdict.PASS
    state, reason = {
        Verdict.PASS: (TRUE, Reason.GATE_PASSED),
        Verdict.FAIL: (FALSE, Reason.GATE_FAILED),
        Verdict.INCONCLUSIVE: (UNKNOWN, Reason.GATE_INCONCLUSIVE),
    }[verdict.verdict]
    draft = draft.to(TrainingJobPhase.EVALUATING, gate_result=verdict).condition(
        "GatePassed", state, reason, " ".join(verdict.reasons)
    )
    if seen.version_name is None:
        wanted = (
            DesiredState.CHAMPION
            if passed and job.spec.promotion.mode is PromotionMode.AUTO
            else DesiredState.CANDIDATE
        )
        return draft.plan(RegisterVersion(artifact, verdict, wanted))
    phase = TrainingJobPhase.SUCCEEDED if passed else TrainingJobPhase.REJECTED
    return (
        draft.to(
            phase, completion_time=draft.now, model_version_ref=NameRef(name=seen.version_name)
        )
        .condition(
            "Complete", TRUE, Reason.VERSION_REGISTERED, f"Registered as {seen.version_name}."
        )
        .plan()
    )


def _start(draft: _Draft, seen: TrainingObservation) -> TrainingPlan:
    """No attempt is there, or the one we wrote down has vanished: start it, when it is its turn."""
    if not seen.capacity:
        return (
            draft.to(TrainingJobPhase.QUEUED)
            .condition("Trained", UNKNOWN, Reason.WAITING_FOR_CAPACITY, "Another run is under way.")
            .plan()
        )
    attempt = max(1, draft.status.attempt)
    start_time = draft.status.start_time or draft.now
    return (
        draft.to(TrainingJobPhase.PENDING, attempt=attempt, start_time=start_time)
        .condition("Trained", UNKNOWN, Reason.RUN_STARTING, f"Starting attempt {attempt}.")
        .plan(StartRun(attempt, seen.champion))
    )


def _next_attempt(
    draft: _Draft,
    seen: TrainingObservation,
    reason: Reason,
    message: str,
    phase: TrainingJobPhase = TrainingJobPhase.PENDING,
) -> TrainingPlan:
    if not seen.capacity:
        waiting = "Waits for the run under way."
        return (
            draft.to(TrainingJobPhase.QUEUED)
            .condition("Trained", UNKNOWN, Reason.WAITING_FOR_CAPACITY, waiting)
            .plan()
        )
    attempt = draft.status.attempt + 1
    return (
        draft.to(phase, attempt=attempt)
        .condition("Trained", UNKNOWN, reason, message)
        .plan(StartRun(attempt, seen.champion))
    )


def _retry(
    job: TrainingJob,
    draft: _Draft,
    seen: TrainingObservation,
    run: Run,
    reason: Reason,
    message: str,
) -> TrainingPlan:
    if run.disrupted:
        return _next_attempt(draft, seen, Reason.EVICTED, message)
    if draft.status.failed >= job.spec.backoff_limit:
        total = draft.status.failed + 1
        return (
            draft.to(TrainingJobPhase.FAILED, failed=total)
            .condition("Trained", FALSE, reason, message)
            .failed(Reason.BACKOFF_LIMIT_EXCEEDED, f"{total} attempts failed, last: {message}")
            .plan()
        )
    if not seen.capacity:
        # Counting happens with the start of the next attempt, or waiting in the queue would count again.
        return _next_attempt(draft, seen, reason, message)
    again = draft.to(draft.status.phase, failed=draft.status.failed + 1)
    return _next_attempt(again, seen, Reason.RETRYING, f"Attempt {run.attempt} failed: {message}")


def _suspend(draft: _Draft) -> _Draft:
    return draft.to(TrainingJobPhase.SUSPENDED, start_time=None).condition(
        "Suspended", TRUE, Reason.SUSPENDED, "Suspended; set suspend to false to go on."
    )


def _stop_if_active(run: Run | None) -> tuple[TrainingAction, ...]:
    if run is not None and run.state in {RunState.STARTING, RunState.RUNNING}:
        return (StopRun(run.attempt),)
    return ()


def _past_deadline(job: TrainingJob, now: datetime) -> bool:
    limit, started = job.spec.active_deadline_seconds, job.status.start_time
    return limit is not None and started is not None and now - started >= timedelta(seconds=limit)


def _registered(draft: _Draft, seen: TrainingObservation, run: Run) -> bool:
    ended_well = run.result is not None and run.result.exit is RunExit.OK
    newest = run.attempt >= draft.status.attempt and run.state is RunState.FINISHED
    return seen.version_name is not None and newest and ended_well


def _compared_with_another(result: RunResult, champion: ChampionRef | None) -> bool:
    if champion is None:
        return False
    if result.artifact is not None and champion.digest == result.artifact.digest:
        return False  # it serves already: a crash came between promoting it and writing that down
    return result.paired is None or result.paired.champion_digest != champion.digest


def _clean_up_when_due(
    job: TrainingJob, seen: TrainingObservation, now: datetime
) -> tuple[TrainingAction, ...]:
    # A run that outlives its job (cancelled while it was starting) is stopped, and keeps its folder until then.
    if stop := _stop_if_active(seen.run):
        return stop
    ttl, ended = job.spec.ttl_seconds_after_finished, job.status.completion_time
    due = ended is not None and now - ended >= timedelta(seconds=ttl)
    return (CleanUp(),) if due and seen.run is not None else ()
