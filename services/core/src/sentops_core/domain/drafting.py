"""A status being written: every change returns a new draft, so that plans stay pure."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Generic, Self, TypeVar

from sentops_core.domain.conditions import ConditionStatus, set_condition
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import ModelVersionStatus, TrainingJobStatus

StatusT = TypeVar("StatusT", TrainingJobStatus, ModelVersionStatus)


@dataclass(frozen=True)
class StatusDraft(Generic[StatusT]):
    """Of a TrainingJob or a ModelVersion; `now` dates what moves."""

    status: StatusT
    now: datetime

    def to(self, phase: StrEnum, **fields: object) -> Self:
        return replace(self, status=self.status.model_copy(update={"phase": phase, **fields}))

    def condition(self, kind: str, state: ConditionStatus, reason: Reason, message: str) -> Self:
        conditions = set_condition(
            self.status.conditions,
            kind,
            state,
            reason,
            message,
            now=self.now,
            observed_generation=self.status.observed_generation,
        )
        return replace(self, status=self.status.model_copy(update={"conditions": conditions}))
