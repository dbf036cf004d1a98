"""A ModelVersion's standing: is it wanted, under way, settled; and what a rollback makes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sentops_core.domain.conditions import ConditionStatus, is_true
from sentops_core.domain.drafting import StatusDraft
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import (
    CompletionStatus,
    DesiredState,
    ModelVersion,
    ModelVersionStatus,
)
from sentops_core.domain.resources import ModelVersionPhase as Phase
from sentops_core.domain.serving import VersionAction, VersionPlan

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


@dataclass(frozen=True)
class VersionDraft(StatusDraft[ModelVersionStatus]):
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


def is_asked_for(version: ModelVersion) -> bool:
    """As champion, by its spec or by a person's approval."""
    spec = version.spec
    if spec.desired_state is DesiredState.ARCHIVED:
        return False
    approved = spec.approval is not None and spec.approval.approved
    return spec.desired_state is DesiredState.CHAMPION or approved


def is_wanted(version: ModelVersion) -> bool:
    """Asked for as champion, or by a rollback to what served before."""
    if version.spec.desired_state is DesiredState.ARCHIVED:
        return False
    return is_asked_for(version) or is_true(version.status.conditions, "Promoted")


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
    at_rest = version.status.phase in resting and version.status.traffic_percent == 0
    return unchanged and (waits or at_rest)


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
    draft = VersionDraft(champion, now, before=champion).condition("Ready", FALSE, reason, message)
    phase = Phase.QUARANTINED if reason is Reason.ARTIFACT_INVALID else Phase.ROLLED_BACK
    return draft.to(phase, completion_status=CompletionStatus.ROLLED_BACK).plan().status


def recalled(previous: ModelVersionStatus, message: str, *, now: datetime) -> ModelVersionStatus:
    """The status of a version that is to serve again: it is verified and switched to like any other."""
    draft = VersionDraft(previous, now, before=previous).to(Phase.PENDING, completion_status=None)
    return draft.condition("Ready", UNKNOWN, Reason.LOADING, message).plan().status


def hurried(version: ModelVersion, message: str, *, now: datetime) -> ModelVersionStatus:
    """The status of a canary, a shadow or a hold that a person ends: the steps that remain are passed over."""
    past_the_last = len(version.spec.rollout.steps)
    draft = VersionDraft(version.status, now, before=version.status)
    draft = draft.to(Phase.CANARY, current_step_index=past_the_last)
    return draft.condition("CanaryHealthy", UNKNOWN, Reason.PROMOTED, message).plan().status


def _since(version: ModelVersion) -> datetime:
    return version.status.phase_started_at or datetime.min.replace(tzinfo=UTC)
