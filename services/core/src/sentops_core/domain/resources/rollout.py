"""How a version is rolled out, and who has a say in it."""

from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from sentops_core.domain.base import INT32_MAX, Document, Flag, Integer, Percentage
from sentops_core.domain.resources.common import Deadline, Seconds


class RolloutStep(Document):
    """One of: send this share of traffic; wait; wait until feedback on both versions can be compared."""

    set_weight: Percentage | None = None
    pause_seconds: Seconds | None = None
    analysis: Literal[True] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> "RolloutStep":
        if (
            sum(value is not None for value in (self.set_weight, self.pause_seconds, self.analysis))
            != 1
        ):
            raise ValueError("a step sets exactly one of setWeight, pauseSeconds, analysis")
        return self


class OnInconclusive(StrEnum):
    HOLD = "Hold"
    PROMOTE = "Promote"
    ROLL_BACK = "RollBack"


class Rollout(Document):
    """No steps: verify, then switch at once. `shadow` lets the candidate answer in silence first."""

    shadow_seconds: Seconds = 0
    steps: tuple[RolloutStep, ...] = Field(default=(), max_length=20)
    progress_deadline_seconds: Deadline = 600
    min_samples: Integer = Field(
        default=200, ge=1, le=INT32_MAX, description="Votes per variant that an analysis needs."
    )
    on_inconclusive: OnInconclusive = OnInconclusive.HOLD


class PromotionMode(StrEnum):
    AUTO = "Auto"
    MANUAL = "Manual"
    NEVER = "Never"


class Promotion(Document):
    """What becomes of a version that passed the gate, and how it is rolled out when it is wanted."""

    mode: PromotionMode = PromotionMode.AUTO
    rollout: Rollout = Rollout()


class Approval(Document):
    """A person's word; who and when come from the access layer, never from the document alone."""

    approved: Flag
    by: str = Field(default="", max_length=100)
    reason: str = Field(default="", max_length=500)
    skip_steps: Flag = Field(
        default=False, description="Pass over what remains of shadow and canary."
    )
    clear_quarantine: Flag = Field(
        default=False, description="Try a quarantined version once more."
    )
