"""What a change of status is worth telling: the events of a job, the audit lines of job and version."""

from collections.abc import Sequence

from sentops_core.domain.conditions import Condition, find_condition
from sentops_core.domain.resources import ModelVersionStatus, TrainerStatus, TrainingJobStatus


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


def phase_evidence(before: ModelVersionStatus, after: ModelVersionStatus) -> dict[str, object]:
    return {
        "from": before.phase.value,
        "to": after.phase.value,
        "why": [f"{one.type}: {one.message}" for one in moved(before.conditions, after.conditions)],
    }
