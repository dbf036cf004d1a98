"""How sure a measured value is, from the confusion matrix it was counted from."""

import math
from collections.abc import Mapping, Sequence

from sentops_core.domain.quality import Z_95, Accuracy


def macro_f1_of(confusion: Mapping[str, Mapping[str, int]]) -> Accuracy | None:
    """The mean F1 over the labels that were meant, with its 95 % interval; `confusion[meant][answered]`. None: no rows."""
    labels = sorted({*confusion, *(label for row in confusion.values() for label in row)})
    square = [[confusion.get(meant, {}).get(label, 0) for label in labels] for meant in labels]
    scores = []
    for number, row in enumerate(square):
        if meant := sum(row):
            answered = sum(other[number] for other in square)
            scores.append(2 * row[number] / (meant + answered))
    if not scores:
        return None
    value = sum(scores) / len(scores)
    interval = macro_f1_interval(value, square)
    assert interval is not None  # noqa: S101 - there are rows
    return Accuracy(value, *interval, samples=sum(map(sum, square)))


def macro_f1_interval(
    value: float, confusion: Sequence[Sequence[int]], z: float = Z_95
) -> tuple[float, float] | None:
    """The 95 % interval of a macro-F1 (Takahashi et al., 2022: delta method); None where nothing was counted.

    `confusion[true][answered]`; labels without a true row count as little as in the value itself.
    """
    rows = sum(map(sum, confusion))
    if rows == 0:
        return None
    half = z * math.sqrt(_variance(confusion, rows))
    return max(0.0, value - half), min(1.0, value + half)


def _variance(confusion: Sequence[Sequence[int]], rows: int) -> float:
    size = range(len(confusion))
    true = [sum(confusion[label]) for label in size]
    answered = [sum(row[label] for row in confusion) for label in size]
    present = [label for label in size if true[label]]
    # How F1 of a label moves with the share of a cell in its row or its column, and in both.
    beside = [
        -2 * confusion[k][k] * rows / (true[k] + answered[k]) ** 2 if true[k] else 0.0 for k in size
    ]
    upon = [beside[k] * 2 + 2 * rows / (true[k] + answered[k]) if true[k] else 0.0 for k in size]
    mean = squares = 0.0
    for i in size:
        for j in size:
            share = confusion[i][j] / rows
            slope = (upon[i] if i == j else beside[i] + beside[j]) / len(present)
            mean += share * slope
            squares += share * slope * slope
    return max(0.0, squares - mean * mean) / rows
