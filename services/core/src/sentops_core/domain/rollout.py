"""ModelVersion: verify, shadow, canary, live; and back to the previous champion when it does not hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

from sentops_core.domain.conditions import ConditionStatus, is_true
from sentops_core.domain.drafting import StatusDraft
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import (
    AnalysisResult,
    CompletionStatus,
    DesiredState,
    ModelVersion,
    ModelVersionPhase,
    ModelVersionStatus,
    OnInconclusive,
    RolloutStep,
    Verdict,
)

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
Phase = ModelVersionPhase


class SlotState(StrEnum):
    EMPTY = "Empty"
    LOADING = "Loading"
    READY = "Ready"
    FAILED = "Failed"  # the digest that was asked for is refused; what served before still does


@dataclass(frozen=True)
class Slot:
    """A place of the model server: what it holds, and what it was last asked to hold."""

    state: SlotState = SlotState.EMPTY
    digest: str | None = None
    wanted_digest: str | None = None
    message: str = ""

    def serves(self, digest: str) -> bool:
        return self.state is not SlotState.EMPTY and self.digest == digest

    def refuses(self, digest: str) -> bool:
        return self.state is SlotState.FAILED and self.wanted_digest == digest


@dataclass(frozen=True)
class ServingObservation:
    """What a substrate sees of serving.

    `champion_name` is who is routed to, `turn` whether no other version of this model is being rolled out.
    """

    reachable: bool
    champion: Slot = Slot()
    candidate: Slot = Slot()
    champion_name: str | None = None
    previous_name: str | None = None
    turn: bool = True
    analysis: AnalysisResult | None = None


@dataclass(frozen=True)
class LoadCandidate:
    """Load, verify and hold beside the champion; no traffic yet."""


@dataclass(frozen=True)
class RouteCandidate:
    """Give the candidate this share of the traffic, or a silent copy of it."""

    weight: int
    shadow: bool = False


@dataclass(frozen=True)
class SwitchChampion:
    """Put this version into the champion's slot, then route everything to it."""


@dataclass(frozen=True)
class ReloadChampion:
    """Same routing; the server lost what it should hold (it was restarted)."""


@dataclass(frozen=True)
class DropCandidate:
    """Route everything to the champion and free the candidate's slot."""


@dataclass(frozen=True)
class ReturnToPrevious:
    """This champion cannot serve: let the previous one be rolled out again."""


VersionAction: TypeAlias = (
    LoadCandidate
    | RouteCandidate
    | SwitchChampion
    | ReloadChampion
    | DropCandidate
    | ReturnToPrevious
)


@dataclass(frozen=True)
class VersionPlan:
    status: ModelVersionStatus
    actions: tuple[VersionAction, ...] = ()


@dataclass(frozen=True)
class _Draft(StatusDraft[ModelVersionStatus]):
    before: ModelVersionStatus

    def plan(self, *actions: VersionAction) -> VersionPlan:
        moved = self.status.phase is not self.before.phase
        since = self.now if moved else self.before.phase_started_at
        return VersionPlan(self.status.model_copy(update={"phase_started_at": since}), actions)

    def quarantined(self, reason: Reason, message: str, *actions: VersionAction) -> VersionPlan:
        return (
            self.to(
                Phase.QUARANTINED, traffic_percent=0, completion_status=CompletionStatus.ABORTED
            )
            .condition("Ready", FALSE, reason, message)
            .plan(*actions)
        )


def is_wanted(version: ModelVersion) -> bool:
    """Asked for as champion: by its spec, by a person's approval, or by a rollback to what served before."""
    spec = version.spec
    if spec.desired_state is DesiredState.ARCHIVED:
        return False
    approved = spec.approval is not None and spec.approval.approved
    served_before = is_true(version.status.conditions, "Promoted")
    return spec.desired_state is DesiredState.CHAMPION or approved or served_before


def in_flight(version: ModelVersion) -> bool:
    """Under way between candidate and live; one at a time per model."""
    return version.status.phase in {Phase.VERIFYING, Phase.SHADOW, Phase.CANARY, Phase.PAUSED}


def settled(version: ModelVersion) -> bool:
    """Nothing to do until somebody changes the spec; whoever is routed to is never settled."""
    resting = {Phase.ROLLED_BACK, Phase.QUARANTINED, Phase.ARCHIVED}
    waits = (
        version.status.phase is Phase.PENDING
        and version.spec.desired_state is DesiredState.CANDIDATE
        and not is_wanted(version)
    )
    unchanged = version.status.observed_generation >= version.metadata.generation
    return unchanged and (waits or version.status.phase in resting)


def rollback_target(versions: Sequence[ModelVersion], champion_name: str) -> ModelVersion | None:
    """The version to return to: of those that served before and were not found wanting, the last one."""
    candidates = [
        version
        for version in versions
        if version.metadata.name != champion_name
        and version.status.phase is Phase.ARCHIVED
        and version.spec.desired_state is not DesiredState.ARCHIVED
        and is_true(version.status.conditions, "Promoted")
    ]
    return max(
        candidates,
        key=lambda version: (_since(version), version.spec.version),
        default=None,
    )


def rolled_back(
    champion: ModelVersionStatus, message: str, *, reason: Reason, now: datetime
) -> ModelVersionStatus:
    """The status of a champion that is being replaced by its predecessor; the spec is never edited."""
    draft = _Draft(champion, now, before=champion).condition("Ready", FALSE, reason, message)
    phase = Phase.QUARANTINED if reason is Reason.ARTIFACT_INVALID else Phase.ROLLED_BACK
    return draft.to(phase, completion_status=CompletionStatus.ROLLED_BACK).plan().status


def recalled(previous: ModelVersionStatus, message: str, *, now: datetime) -> ModelVersionStatus:
    """The status of a version that is to serve again: it is verified and switched to like any other."""
    draft = _Draft(previous, now, before=previous).to(Phase.PENDING, completion_status=None)
    return draft.condition("Ready", UNKNOWN, Reason.LOADING, message).plan().status


def hurried(version: ModelVersion, message: str, *, now: datetime) -> ModelVersionStatus:
    """The status of a canary, a shadow or a hold that a person ends: the steps that remain are passed over."""
    past_the_last = len(version.spec.rollout.steps)
    draft = _Draft(version.status, now, before=version.status)
    draft = draft.to(Phase.CANARY, current_step_index=past_the_last)
    return draft.condition("CanaryHealthy", UNKNOWN, Reason.PROMOTED, message).plan().status


def _since(version: ModelVersion) -> datetime:
    return version.status.phase_started_at or datetime.min.replace(tzinfo=UTC)


def plan(version: ModelVersion, seen: ServingObservation, *, now: datetime) -> VersionPlan:
    """The next step for one version; calling it again with nothing changed changes nothing."""
    changed = version.metadata.generation > version.status.observed_generation
    seen_generation = {"observed_generation": version.metadata.generation}
    draft = _Draft(version.status.model_copy(update=seen_generation), now, before=version.status)
    match version.status.phase:
        case Phase.QUARANTINED:  # sticky until a person clears it: it is not rolled out again
            return _rest(version, draft, seen)
        case Phase.ROLLED_BACK | Phase.ARCHIVED:
            if changed and is_wanted(version):
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


def _routed(version: ModelVersion, seen: ServingObservation) -> bool:
    return seen.champion_name == version.metadata.name


def _rest(version: ModelVersion, draft: _Draft, seen: ServingObservation) -> VersionPlan:
    """Nothing to do; but what everybody is still routed to is served until another version takes over."""
    digest = version.spec.artifact.digest
    held = seen.champion.serves(digest) or seen.champion.refuses(digest)
    if _routed(version, seen) and seen.reachable and not held:
        return draft.plan(ReloadChampion())
    return draft.plan()


def _begin(version: ModelVersion, draft: _Draft, seen: ServingObservation) -> VersionPlan:
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
            Phase.VERIFYING, current_step_index=0, step_started_at=None, completion_status=None
        )
        .condition(
            "ArtifactVerified", UNKNOWN, Reason.LOADING, "Loading and checking the artefact."
        )
        .plan(LoadCandidate())
    )


def _verify(version: ModelVersion, draft: _Draft, seen: ServingObservation) -> VersionPlan:
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
    version: ModelVersion, draft: _Draft, seen: ServingObservation
) -> VersionPlan:
    rollout = version.spec.rollout
    # A version that was champion before is known: going back to it must not wait for a canary.
    known = is_true(draft.status.conditions, "Promoted")
    if seen.champion_name is None or known or _routed(version, seen):
        return _promote(version, draft, seen)
    if rollout.shadow_seconds:
        message = f"Answers in silence for {rollout.shadow_seconds} s."
        return (
            draft.to(Phase.SHADOW)
            .condition("CanaryHealthy", UNKNOWN, Reason.SHADOWING, message)
            .plan(RouteCandidate(0, shadow=True))
        )
    return _enter_canary(version, draft, seen)


def _shadow(version: ModelVersion, draft: _Draft, seen: ServingObservation) -> VersionPlan:
    if not is_wanted(version):
        return _withdraw(draft)
    if not seen.candidate.serves(version.spec.artifact.digest):
        return _reload_candidate(version, draft, seen)
    started = draft.status.phase_started_at or draft.now
    if draft.now - started < timedelta(seconds=version.spec.rollout.shadow_seconds):
        return draft.plan(RouteCandidate(0, shadow=True))
    return _enter_canary(version, draft, seen)


def _enter_canary(version: ModelVersion, draft: _Draft, seen: ServingObservation) -> VersionPlan:
    if not version.spec.rollout.steps:
        return _promote(version, draft, seen)
    entered = draft.to(Phase.CANARY, current_step_index=0, step_started_at=draft.now)
    return _canary(version, entered, seen)


def _canary(version: ModelVersion, draft: _Draft, seen: ServingObservation) -> VersionPlan:
    if not is_wanted(version):
        return _withdraw(draft)
    if not seen.candidate.serves(version.spec.artifact.digest):
        return _reload_candidate(version, draft, seen)
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


def _step_is_over(step: RolloutStep, draft: _Draft, analysis: AnalysisResult | None) -> bool:
    if step.pause_seconds is not None:
        started = draft.status.step_started_at or draft.now
        return draft.now - started >= timedelta(seconds=step.pause_seconds)
    return analysis is not None and analysis.verdict is Verdict.PASS


def _hold(
    version: ModelVersion,
    draft: _Draft,
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


def _abandon(draft: _Draft, reason: Reason, message: str) -> VersionPlan:
    return draft.condition("CanaryHealthy", FALSE, reason, message).quarantined(
        reason, message, DropCandidate()
    )


def _withdraw(draft: _Draft) -> VersionPlan:
    """Nobody wants it any more: back to a candidate, before it ever served everyone."""
    message = "Withdrawn before it was live."
    return (
        draft.to(Phase.PENDING, traffic_percent=0, completion_status=CompletionStatus.ABORTED)
        .condition("Promoted", UNKNOWN, Reason.AWAITING_APPROVAL, message)
        .plan(DropCandidate())
    )


def _reload_candidate(
    version: ModelVersion, draft: _Draft, seen: ServingObservation
) -> VersionPlan:
    if seen.candidate.refuses(version.spec.artifact.digest):
        return draft.quarantined(Reason.ARTIFACT_INVALID, seen.candidate.message, DropCandidate())
    if not seen.reachable:
        message = "The model server does not answer; trying again."
        return draft.condition("Loaded", UNKNOWN, Reason.SERVER_UNREACHABLE, message).plan()
    return draft.plan(LoadCandidate())


def _promote(version: ModelVersion, draft: _Draft, seen: ServingObservation) -> VersionPlan:
    """Switch, and call it live only once it is seen to be what is routed to and served."""
    digest = version.spec.artifact.digest
    if not (_routed(version, seen) and seen.champion.serves(digest)):
        if seen.champion.refuses(digest):
            return draft.quarantined(
                Reason.ARTIFACT_INVALID, seen.champion.message, DropCandidate()
            )
        message = "Switching the champion."
        return draft.condition("Promoted", UNKNOWN, Reason.LOADING, message).plan(SwitchChampion())
    return (
        draft.to(
            Phase.LIVE,
            traffic_percent=100,
            previous_version=seen.previous_name,
            served_digest=digest,
            completion_status=CompletionStatus.PROMOTED,
        )
        .condition("Promoted", TRUE, Reason.PROMOTED, "Serves everyone.")
        .condition("Ready", TRUE, Reason.SERVING, "The served digest is the wanted one.")
        .plan()
    )


def _live(version: ModelVersion, draft: _Draft, seen: ServingObservation) -> VersionPlan:
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
    if seen.champion.serves(digest):
        return (
            draft.to(Phase.LIVE, served_digest=digest)
            .condition("Ready", TRUE, Reason.SERVING, "The served digest is the wanted one.")
            .plan()
        )
    if seen.champion.refuses(digest):
        message = seen.champion.message
        return (
            draft.to(draft.status.phase, served_digest=None)
            .condition("ArtifactVerified", FALSE, Reason.ARTIFACT_INVALID, message)
            .quarantined(Reason.ARTIFACT_INVALID, message, ReturnToPrevious())
        )
    draft = draft.to(Phase.LIVE, served_digest=None)
    if not seen.reachable:
        message = "The model server does not answer; trying again."
        return draft.condition("Ready", UNKNOWN, Reason.SERVER_UNREACHABLE, message).plan()
    message = "The model server lost this version (it was restarted); loading it again."
    return draft.condition("Ready", UNKNOWN, Reason.LOADING, message).plan(ReloadChampion())


def _overdue(version: ModelVersion, draft: _Draft) -> bool:
    started = draft.status.phase_started_at
    limit = timedelta(seconds=version.spec.rollout.progress_deadline_seconds)
    return started is not None and draft.now - started >= limit


def _step_overdue(version: ModelVersion, draft: _Draft) -> bool:
    started = draft.status.step_started_at
    limit = timedelta(seconds=version.spec.rollout.progress_deadline_seconds)
    return started is not None and draft.now - started >= limit
