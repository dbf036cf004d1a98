"""What a change of status is worth telling: the events of a job, the audit lines of job and version."""

from collections.abc import Sequence

from pydantic.alias_generators import to_snake

from sentops_core.domain.conditions import Condition, find_condition
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import (
    ModelVersionPhase,
    ModelVersionStatus,
    TrainerStatus,
    TrainingJobStatus,
)


def moved(before: Sequence[Condition], after: Sequence[Condition]) -> list[Condition]:
    """Conditions that say something else now; a new percentage in a message is not news."""
    found = []
    for condition in after:
        old = find_condition(before, condition.type)
        if old is None or (old.status, old.reason) != (condition.status, condition.reason):
            found.append(condition)
    return found


def progress_message(progress: TrainerStatus) -> str:
    percentage = progress.progress_percentage
    return "Progress." if percentage is None else f"{percentage} % done."


def finished_evidence(status: TrainingJobStatus) -> dict[str, object]:
    return {
        "phase": status.phase.value,
        "gateResult": status.gate_result.to_document() if status.gate_result else None,
    }


def phase_action(phase: ModelVersionPhase) -> str:
    """What the audit log calls a change of phase: model_version.rolled_back, model_version.live, ..."""
    return f"model_version.{to_snake(phase.value)}"


def return_evidence(to: str | None, why: str, reason: Reason) -> dict[str, object]:
    """Of a champion's model_version.rolled_back; `to` is who serves instead, where that is known."""
    known: dict[str, object] = {"to": to} if to is not None else {}
    return known | {"why": why, "reason": reason.value}


def phase_evidence(before: ModelVersionStatus, after: ModelVersionStatus) -> dict[str, object]:
    return {
        "from": before.phase.value,
        "to": after.phase.value,
        "why": [f"{one.type}: {one.message}" for one in moved(before.conditions, after.conditions)],
    }
