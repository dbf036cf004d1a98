"""The fast path: a small student answers the texts that it is sure of, the full model the others.

A cascade is judged as a whole, on the rows that judge every version: it may serve when its macro-F1 is within half a
point of the full model's.
"""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from sentops_core.domain.base import Body, Document, Flag
from sentops_core.domain.evaluation import Share

LARGEST_LOSS = 0.005  # of macro-F1 on the held-out rows, cascade against the full model

AnswerPath = Literal["full", "fast"]


class FastPathMode(StrEnum):
    OFF = "Off"  # no student is trained
    AUTO = "Auto"  # trained, and used where the cascade is as good as the full model
    FORCED = "Forced"  # used even where it costs quality; the version is judged by what it answers


class FastPath(Body):
    """In config.json: `student.onnx` takes what `model.onnx` takes, and answers where it is sure enough.

    Its probabilities are softmax(logits / temperature); at a highest one of `threshold` or more, its answer stands.
    """

    temperature: float = Field(gt=0)
    threshold: float = Field(gt=0, le=1)


class FastPathReport(Document):
    """What the cascade does on the held-out rows, beside the full model alone."""

    used: Flag
    message: str = Field(max_length=300, description="Why it is used, or why not.")
    share: Share = Field(description="Of the rows, answered by the student.")
    macro_f1: Share
    full_macro_f1: Share
    agreement: Share = Field(description="Of the rows, with the label that the full model gives.")


def within_loss(cascade_macro_f1: float, full_macro_f1: float) -> bool:
    """Whether the cascade may stand in for the full model."""
    return cascade_macro_f1 >= full_macro_f1 - LARGEST_LOSS
