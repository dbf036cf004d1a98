"""What a run measured on the frozen held-out rows, as plain numbers that a gate can judge."""

from typing import Annotated

from pydantic import Field, Strict

from sentops_core.domain.base import Digest, Document, Integer, Label

Share = Annotated[float, Strict(), Field(ge=0, le=1)]


class ClassScores(Document):
    precision: Share
    recall: Share
    f1: Share
    support: Integer = Field(ge=0)


class Evaluation(Document):
    """One model on the held-out rows; `calibration_error` is the expected calibration error over 10 bins."""

    rows: Integer = Field(ge=0)
    accuracy: Share
    macro_f1: Share
    per_class: dict[Label, ClassScores]
    confusion: tuple[tuple[Integer, ...], ...] = Field(
        description="Rows: true label, columns: predicted; order of labels."
    )
    calibration_error: Share


class PairedComparison(Document):
    """Candidate and champion on the same rows. Differences are candidate minus champion."""

    champion_version: str
    champion_digest: Digest
    champion: Evaluation
    both_right: Integer = Field(ge=0)
    only_candidate_right: Integer = Field(ge=0)
    only_champion_right: Integer = Field(ge=0)
    neither_right: Integer = Field(ge=0)
    macro_f1_difference: float
    macro_f1_difference_low: float = Field(
        description="Lower end of the paired bootstrap 90 % interval."
    )
    macro_f1_difference_high: float = Field(
        description="Upper end of the paired bootstrap 90 % interval."
    )


class MustPass(Document):
    """Examples every version must get right; failed ones by text, shortened."""

    total: Integer = Field(ge=0)
    failed: tuple[str, ...] = ()
