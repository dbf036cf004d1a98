"""ModelVersion: verify, shadow, canary, live; and back to the previous champion when it does not hold."""

from datetime import datetime, timedelta

from sentops_core.domain.conditions import ConditionStatus, is_true
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import (
    AnalysisResult,
    CompletionStatus,
    DesiredState,
    ModelVersion,
    OnInconclusive,
    RolloutStep,
    Verdict,
)
from sentops_core.domain.resources import ModelVersionPhase as Phase
from sentops_core.domain.serving import (
    DropCandidate,
    LoadCandidate,
    ReloadChampion,
    ReturnToPrevious,
    RouteCandidate,
    ServingObservation,
    SwitchChampion,
    VersionPlan,
)
from sentops_core.domain.version_states import VersionDraft, is_asked_for, is_wanted

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


def plan(version: ModelVersion, seen: ServingObservation, *, now: datetime) -> VersionPlan:
    """The next step for one version; calling it again with nothing changed changes nothing."""
    changed = version.metadata.generation > version.status.observed_generation
    seen_generation = {"observed_generation": version.metadata.generation}
    draft = VersionDraft(
        version.status.model_copy(update=seen_generation), now, before=version.status
    )
    match version.status.phase:
        case Phase.QUARANTINED | Phase.ROLLED_BACK | Phase.ARCHIVED:
            if changed and is_asked_for(version) and _may_be_tried_again(version):
                return _begin(version, draft, seen)
            return _rest(version, draft, seen)
        case Phase.PENDING:
            return _begin(version, draft, seen)
        case Phase.VERIFYING:
            return _verify(version, draft, seen)
        case Phase.SHADOW | Phase.CANARY | Phase.PAUSED if _routed(version, seen):
            return _promote(version, draft, seen)  # switched already: no step counts any more
        case Phase.SHADOW:
            return _shadow(version, draft, seen)
        case Phase.CANARY | Phase.PAUSED:
            return _canary(version, draft, seen)
        case Phase.LIVE:
            return _live(version, draft, seen)


def _may_be_tried_again(version: ModelVersion) -> bool:
    """A quarantine is sticky until a person clears it."""
    if version.status.phase is not Phase.QUARANTINED:
        return True
    return version.spec.approval is not None and version.spec.approval.clear_quarantine


def _hurried(version: ModelVersion) -> bool:
    approval = version.spec.approval
    return approval is not None and approval.approved and approval.skip_steps


def _routed(version: ModelVersion, seen: ServingObservation) -> bool:
    return seen.champion_name == version.metadata.name


def _rest(version: ModelVersion, draft: VersionDraft, seen: ServingObservation) -> VersionPlan:
    """Nothing to do; but what everybody is still routed to is served until another version takes over."""
    digest = version.spec.artifact.digest
    held = seen.champion.serves(digest) or seen.champion.refuses(digest)
    if not _routed(version, seen):
        return draft.to(draft.status.phase, traffic_percent=0, served_digest=None).plan()
    if seen.reachable and not held:
        return draft.plan(ReloadChampion())
    return draft.plan()


def _begin(version: ModelVersion, draft: VersionDraft, seen: ServingObservation) -> VersionPlan:
    if version.spec.desired_state is DesiredState.ARCHIVED:
        return _rest(version, draft.to(Phase.ARCHIVED), seen)
    if not is_wanted(version):
        message = "A candidate; promote or approve it to roll it out."
        waiting = draft.to(Phase.PENDING).condition(
            "Promoted", UNKNOWN, Reason.AWAITING_APPROVAL, message
        )
        return _rest(version, waiting, seen)
    if not seen.turn:
        message = "Another version is being rolled out."
        waiting = draft.to(Phase.PENDING).condition(
            "Loaded", UNKNOWN, Reason.WAITING_FOR_CAPACITY, message
        )
        return _rest(version, waiting, seen)
    return (
        draft.to(
            Phase.VERIFYING,
            current_step_index=0,
            step_started_at=None,
            switch_started_at=None,
            completion_status=None,
        )
        .condition(
            "ArtifactVerified", UNKNOWN, Reason.LOADING, "Loading and checking the artefact."
        )
        .plan(LoadCandidate())
    )


def _verify(version: ModelVersion, draft: VersionDraft, seen: ServingObservation) -> VersionPlan:
    digest = version.spec.artifact.digest
    if not is_wanted(version) and not _routed(version, seen):
        return _withdraw(draft)
    if seen.candidate.refuses(digest):
        return draft.condition(
            "ArtifactVerified", FALSE, Reason.ARTIFACT_INVALID, seen.candidate.message
        ).quarantined(Reason.ARTIFACT_INVALID, seen.candidate.message, DropCandidate())
    already_champion = seen.champion.serves(digest)
    if seen.candidate.serves(digest) or already_champion:
        verified = draft.condition(
            "ArtifactVerified",
            TRUE,
            Reason.GOLDEN_REPRODUCED,
            "Digest and golden predictions match.",
        ).condition("Loaded", TRUE, Reason.GOLDEN_REPRODUCED, "Loaded beside the champion.")
        return _after_verification(version, verified, seen)
    if _overdue(version, draft):
        message = f"Not loaded within {version.spec.rollout.progress_deadline_seconds} s: {seen.candidate.message or 'no answer'}"
        return draft.quarantined(Reason.PROGRESS_DEADLINE_EXCEEDED, message, DropCandidate())
    if not seen.reachable:
        message = "The model server does not answer; trying again."
        return draft.condition("Loaded", UNKNOWN, Reason.SERVER_UNREACHABLE, message).plan()
    return draft.plan(LoadCandidate())


def _after_verification(
    version: ModelVersion, draft: VersionDraft, seen: ServingObservation
) -> VersionPlan:
    rollout = version.spec.rollout
    # A version that was champion before is known: going back to it must not wait for a canary.
    known = is_true(draft.status.conditions, "Promoted")
    if seen.champion_name is None or known or _hurried(version) or _routed(version, seen):
        return _promote(version, draft, seen)
    if rollout.shadow_seconds:
        message = f"Answers in silence for {rollout.shadow_seconds} s."
        return (
            draft.to(Phase.SHADOW)
            .condition("CanaryHealthy", UNKNOWN, Reason.SHADOWING, message)
            .plan(RouteCandidate(0, shadow=True))
        )
    return _enter_canary(version, draft, seen)


def _shadow(version: ModelVersion, draft: VersionDraft, seen: ServingObservation) -> VersionPlan:
    if not is_wanted(version):
        return _withdraw(draft)
    if not seen.candidate.serves(version.spec.artifact.digest):
        return _reload_candidate(version, draft, seen)
    if _hurried(version):
        return _promote(version, draft, seen)
    started = draft.status.phase_started_at or draft.now
    if draft.now - started < timedelta(seconds=version.spec.rollout.shadow_seconds):
        return draft.plan(RouteCandidate(0, shadow=True))
    return _enter_canary(version, draft, seen)


def _enter_canary(
    version: ModelVersion, draft: VersionDraft, seen: ServingObservation
) -> VersionPlan:
    if not version.spec.rollout.steps:
        return _promote(version, draft, seen)
    entered = draft.to(Phase.CANARY, current_step_index=0, step_started_at=draft.now)
    return _canary(version, entered, seen)


def _canary(version: ModelVersion, draft: VersionDraft, seen: ServingObservation) -> VersionPlan:
    if not is_wanted(version):
        return _withdraw(draft)
    if not seen.candidate.serves(version.spec.artifact.digest):
        return _reload_candidate(version, draft, seen)
    if _hurried(version):
        return _promote(version, draft, seen)
    steps = version.spec.rollout.steps
    weight = draft.status.traffic_percent
    while draft.status.current_step_index < len(steps):
        step = steps[draft.status.current_step_index]
        if step.set_weight is not None:
            weight = step.set_weight
        elif not _step_is_over(step, draft, seen.analysis):
            return _hold(version, draft, seen, step, weight)
        index = draft.status.current_step_index + 1
        draft = draft.to(Phase.CANARY, current_step_index=index, step_started_at=draft.now)
        if index == len(steps):
            message = "Every step was passed."
            draft = draft.condition("CanaryHealthy", TRUE, Reason.CANARY_HEALTHY, message)
    return _promote(version, draft, seen)


def _step_is_over(step: RolloutStep, draft: VersionDraft, analysis: AnalysisResult | None) -> bool:
    if step.pause_seconds is not None:
        started = draft.status.step_started_at or draft.now
        return draft.now - started >= timedelta(seconds=step.pause_seconds)
    return analysis is not None and analysis.verdict is Verdict.PASS


def _hold(
    version: ModelVersion,
    draft: VersionDraft,
    seen: ServingObservation,
    step: RolloutStep,
    weight: int,
) -> VersionPlan:
    """Stay in this step, unless the evidence or the deadline says otherwise."""
    draft = draft.to(Phase.CANARY, traffic_percent=weight)
    route = RouteCandidate(weight)
    if step.analysis is None:
        message = f"{weight} % of the traffic."
        return draft.condition("CanaryHealthy", UNKNOWN, Reason.CANARY_STEP, message).plan(route)
    analysis = seen.analysis
    draft = draft.to(Phase.CANARY, analysis=analysis)
    if analysis is not None and analysis.verdict is Verdict.FAIL:
        return _abandon(draft, Reason.CANARY_WORSE, analysis.reason)
    reason = analysis.reason if analysis is not None else "No evidence yet."
    if not _step_overdue(version, draft):
        return draft.condition("CanaryHealthy", UNKNOWN, Reason.TOO_FEW_SAMPLES, reason).plan(route)
    match version.spec.rollout.on_inconclusive:
        case OnInconclusive.PROMOTE:
            return _promote(version, draft, seen)
        case OnInconclusive.ROLL_BACK:
            return _abandon(draft, Reason.TOO_FEW_SAMPLES, reason)
        case OnInconclusive.HOLD:
            return (
                draft.to(Phase.PAUSED)
                .condition("CanaryHealthy", UNKNOWN, Reason.TOO_FEW_SAMPLES, f"On hold: {reason}")
                .plan(route)
            )


def _abandon(draft: VersionDraft, reason: Reason, message: str) -> VersionPlan:
    return draft.condition("CanaryHealthy", FALSE, reason, message).quarantined(
        reason, message, DropCandidate()
    )


def _withdraw(draft: VersionDraft) -> VersionPlan:
    """Nobody wants it any more: back to a candidate, before it ever served everyone."""
    message = "Withdrawn before it was live."
    return (
        draft.to(Phase.PENDING, traffic_percent=0, completion_status=CompletionStatus.ABORTED)
        .condition("Promoted", UNKNOWN, Reason.AWAITING_APPROVAL, message)
        .plan(DropCandidate())
    )


def _reload_candidate(
    version: ModelVersion, draft: VersionDraft, seen: ServingObservation
) -> VersionPlan:
    if seen.candidate.refuses(version.spec.artifact.digest):
        return draft.quarantined(Reason.ARTIFACT_INVALID, seen.candidate.message, DropCandidate())
    if not seen.reachable:
        message = "The model server does not answer; trying again."
        return draft.condition("Loaded", UNKNOWN, Reason.SERVER_UNREACHABLE, message).plan()
    return draft.plan(LoadCandidate())


def _promote(version: ModelVersion, draft: VersionDraft, seen: ServingObservation) -> VersionPlan:
    """Switch, and call it live only once it is seen to be what is routed to and served."""
    digest = version.spec.artifact.digest
    if not (_routed(version, seen) and seen.champion.serves(digest)):
        if seen.champion.refuses(digest):
            return draft.quarantined(
                Reason.ARTIFACT_INVALID, seen.champion.message, DropCandidate()
            )
        return _switch(version, draft, seen)
    return (
        draft.to(
            Phase.LIVE,
            traffic_percent=100,
            switch_started_at=None,
            previous_version=seen.previous_name,
            served_digest=digest,
            completion_status=CompletionStatus.PROMOTED,
        )
        .condition("Promoted", TRUE, Reason.PROMOTED, "Serves everyone.")
        .condition("Ready", TRUE, Reason.SERVING, "The served digest is the wanted one.")
        .plan()
    )


def _switch(version: ModelVersion, draft: VersionDraft, seen: ServingObservation) -> VersionPlan:
    """Everyone is being moved to this version. While that hangs, those not moved yet keep their answers."""
    if not seen.reachable:
        message = "The model server does not answer; trying again."
        return draft.condition("Loaded", UNKNOWN, Reason.SERVER_UNREACHABLE, message).plan(
            SwitchChampion()
        )
    started = draft.status.switch_started_at or draft.now
    seconds = version.spec.rollout.progress_deadline_seconds
    if draft.now - started >= timedelta(seconds=seconds) and seen.champion_name is not None:
        why = f": {seen.champion.message}" if seen.champion.message else ""
        message = f"Not serving everyone within {seconds} s{why}. The previous version serves on."
        return draft.quarantined(Reason.PROGRESS_DEADLINE_EXCEEDED, message, DropCandidate())
    message = seen.champion.message or "Switching the champion."
    return (
        draft.to(draft.status.phase, switch_started_at=started)
        .condition("Promoted", UNKNOWN, Reason.LOADING, message)
        .plan(SwitchChampion())
    )


def _live(version: ModelVersion, draft: VersionDraft, seen: ServingObservation) -> VersionPlan:
    digest = version.spec.artifact.digest
    if seen.champion_name not in {None, version.metadata.name}:
        message = f"{seen.champion_name} serves now; this version stays loadable."
        return (
            draft.to(
                Phase.ARCHIVED,
                traffic_percent=0,
                served_digest=None,
                completion_status=CompletionStatus.SUPERSEDED,
            )
            .condition("Ready", UNKNOWN, Reason.SUPERSEDED, message)
            .plan()
        )
    if version.spec.desired_state is DesiredState.ARCHIVED and seen.return_to and seen.turn:
        message = f"Taken out of service; {seen.return_to} is asked to serve again."
        return (
            draft.to(Phase.ROLLED_BACK, completion_status=CompletionStatus.ROLLED_BACK)
            .condition("Ready", FALSE, Reason.ROLLED_BACK, message)
            .plan(ReturnToPrevious(Reason.ROLLED_BACK, message))
        )
    if seen.champion.serves(digest):
        return (
            draft.to(Phase.LIVE, served_digest=digest)
            .condition("Ready", TRUE, Reason.SERVING, _why_it_serves(version, seen))
            .plan()
        )
    if seen.champion.refuses(digest):
        message = seen.champion.message
        return (
            draft.to(draft.status.phase, served_digest=None)
            .condition("ArtifactVerified", FALSE, Reason.ARTIFACT_INVALID, message)
            .quarantined(
                Reason.ARTIFACT_INVALID,
                message,
                ReturnToPrevious(Reason.ARTIFACT_INVALID, f"{version.metadata.name}: {message}"),
            )
        )
    draft = draft.to(Phase.LIVE, served_digest=None)
    if not seen.reachable:
        message = "The model server does not answer; trying again."
        return draft.condition("Ready", UNKNOWN, Reason.SERVER_UNREACHABLE, message).plan()
    message = "The model server lost this version (it was restarted); loading it again."
    return draft.condition("Ready", UNKNOWN, Reason.LOADING, message).plan(ReloadChampion())


def _why_it_serves(version: ModelVersion, seen: ServingObservation) -> str:
    if version.spec.desired_state is not DesiredState.ARCHIVED:
        return "The served digest is the wanted one."
    if seen.turn:
        return "Serves on: no version served before it. Promote another version to replace it."
    return "Serves on until the version being rolled out is through."


def _overdue(version: ModelVersion, draft: VersionDraft) -> bool:
    started = draft.status.phase_started_at
    limit = timedelta(seconds=version.spec.rollout.progress_deadline_seconds)
    return started is not None and draft.now - started >= limit


def _step_overdue(version: ModelVersion, draft: VersionDraft) -> bool:
    started = draft.status.step_started_at
    limit = timedelta(seconds=version.spec.rollout.progress_deadline_seconds)
    return started is not None and draft.now - started >= limit
