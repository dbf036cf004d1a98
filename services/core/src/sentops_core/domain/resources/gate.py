"""What a candidate must show, and what the gate says of it."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from sentops_core.domain.base import INT32_MAX, DecimalString, Digest, Document, Integer, Label


class GateMetric(Document):
    """One measured value on the frozen rows, its floor, and how far it may be under the champion's."""

    name: Literal["macro_f1", "accuracy"] = "macro_f1"
    min: DecimalString = "0.5"
    max_drop_vs_champion: DecimalString = "0.03"

    @model_validator(mode="after")
    def _are_shares(self) -> "GateMetric":
        if not (0 <= float(self.min) <= 1 and 0 <= float(self.max_drop_vs_champion) <= 1):
            raise ValueError("min and maxDropVsChampion are shares from 0 to 1, such as 0.7")
        return self


class PerClassMin(Document):
    recall: DecimalString = "0"

    @model_validator(mode="after")
    def _is_a_share(self) -> "PerClassMin":
        if not 0 <= float(self.recall) <= 1:
            raise ValueError("perClassMin.recall is a share from 0 to 1, such as 0.5")
        return self


class MustPassExample(Document):
    text: Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    label: Label


class Gate(Document):
    """What a candidate must show on the dataset's frozen held-out rows before it may serve."""

    min_samples: Integer = Field(default=50, ge=1, le=INT32_MAX)
    metrics: tuple[GateMetric, ...] = Field(default=(GateMetric(),), min_length=1, max_length=2)
    per_class_min: PerClassMin = PerClassMin()
    must_pass: tuple[MustPassExample, ...] = Field(default=(), max_length=100)

    @model_validator(mode="after")
    def _metrics_are_distinct(self) -> "Gate":
        if len({metric.name for metric in self.metrics}) < len(self.metrics):
            raise ValueError("gate.metrics names each metric once")
        return self


class Verdict(StrEnum):
    PASS = "Pass"  # noqa: S105 - not a password
    FAIL = "Fail"
    INCONCLUSIVE = "Inconclusive"


class GateMetricResult(Document):
    name: str
    value: DecimalString
    champion: DecimalString | None = None
    difference: DecimalString | None = None
    low: DecimalString | None = None
    high: DecimalString | None = None


class GateResult(Document):
    """The verdict with the numbers it stands on; `reasons` are sentences, the deciding ones first."""

    verdict: Verdict
    reasons: tuple[str, ...] = Field(max_length=200)
    samples: Integer
    champion_version: str | None = None
    champion_digest: Digest | None = None
    p_value: DecimalString | None = Field(
        default=None, description="Exact McNemar test, two-sided."
    )
    metrics: tuple[GateMetricResult, ...] = Field(default=(), max_length=16)
