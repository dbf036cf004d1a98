"""Conditions in the shape of metav1.Condition, set through one helper."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from sentops_core.domain.base import Document, Integer, Moment
from sentops_core.domain.reasons import Reason


class ConditionStatus(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Document):
    """One observed fact about a resource; `last_transition_time` moves only when `status` does."""

    type: str
    status: ConditionStatus
    reason: Reason
    message: str = ""
    last_transition_time: Moment
    observed_generation: Integer = 0


def find_condition(conditions: Iterable[Condition], kind: str) -> Condition | None:
    return next((condition for condition in conditions if condition.type == kind), None)


def is_true(conditions: Iterable[Condition], kind: str) -> bool:
    found = find_condition(conditions, kind)
    return found is not None and found.status is ConditionStatus.TRUE


def set_condition(
    conditions: tuple[Condition, ...],
    kind: str,
    status: ConditionStatus,
    reason: Reason,
    message: str,
    *,
    now: datetime,
    observed_generation: int = 0,
) -> tuple[Condition, ...]:
    """The list with this condition set; order of types is kept, so an unchanged status compares equal."""
    old = find_condition(conditions, kind)
    moved = old is None or old.status is not status
    new = Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=now if moved else old.last_transition_time,  # type: ignore[union-attr]
        observed_generation=observed_generation,
    )
    if old is None:
        return (*conditions, new)
    return tuple(new if condition.type == kind else condition for condition in conditions)
