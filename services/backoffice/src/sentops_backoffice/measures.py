"""Measured values with how sure they are."""

from collections.abc import Sequence
from dataclasses import dataclass

from sentops_core.domain.evaluation import ClassScores, Evaluation
from sentops_core.domain.intervals import macro_f1_interval
from sentops_core.domain.quality import wilson_interval


@dataclass(frozen=True)
class Value:
    """`low` and `high` are the ends of the 95 % interval, None where it cannot be told."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Measures:
    """`confusion` is empty where the run's report was too short for it."""

    rows: int
    accuracy: Value
    macro_f1: Value
    calibration_error: float
    per_class: dict[str, ClassScores]
    recall: dict[str, Value]
    confusion: tuple[tuple[int, ...], ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.per_class)


def measures(evaluation: Evaluation, labels: Sequence[str]) -> Measures:
    """`labels` in the order of the confusion matrix: the database keeps no order of `per_class`."""
    rows = evaluation.rows
    per_class = {
        label: evaluation.per_class[label] for label in labels if label in evaluation.per_class
    }
    ends = macro_f1_interval(evaluation.macro_f1, evaluation.confusion)
    square = len(evaluation.confusion) == len(per_class)
    return Measures(
        rows=rows,
        accuracy=_share(evaluation.accuracy, rows),
        macro_f1=Value(evaluation.macro_f1, *(ends or (None, None))),
        calibration_error=evaluation.calibration_error,
        per_class=per_class,
        recall={label: _share(one.recall, one.support) for label, one in per_class.items()},
        confusion=evaluation.confusion if square else (),
    )


def _share(share: float, rows: int) -> Value:
    if rows == 0:
        return Value(share)
    return Value(share, *wilson_interval(round(share * rows), rows))
