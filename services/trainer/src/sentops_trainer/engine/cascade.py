"""When the student's answer may stand: fitted on training rows that neither it nor the full model has seen.

A few hundred such rows are too few to count mistakes by: half a point of macro-F1 is one of them. The full model's own
calibrated doubt says more. Where it gives the student's label 45 % and its own 55 %, following the student costs a tenth
of an answer in expectation, whatever the one label on record says. So the loss is taken from both: expected by the
full model's probabilities it must stay well inside the limit, and counted by the labels within the limit.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from sentops_core.domain.fast_path import LARGEST_LOSS, FastPath
from sentops_trainer.engine.calibration import fit_temperature

LARGEST_EXPECTED_LOSS = LARGEST_LOSS / 2
SMALLEST_SHARE = 0.05  # of the rows; below it the student is not worth its file
_DIGITS = 4

Shares = npt.NDArray[np.floating]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Threshold:
    """A fitted fast path, and what it was seen to do on the rows that it was fitted on."""

    fast_path: FastPath
    share: float
    expected_loss: float
    counted_loss: float
    agreement: float
    allowed: bool


@dataclass(frozen=True)
class Both:
    """Student and full model on the same rows; the full one's probabilities are calibrated."""

    student_logits: Shares
    full: Shares
    labels: Labels


def fit_threshold(both: Both) -> Threshold:
    """The lowest that is allowed; where none is, the one with the median of the student's confidences."""
    temperature = fit_temperature(both.student_logits, both.labels)
    student = softmax(both.student_logits.astype(np.float64) / temperature, axis=1)
    confidence = student.max(axis=1)
    surest_first = np.argsort(-confidence, kind="stable")
    counts = [
        count
        for count in range(max(1, round(SMALLEST_SHARE * len(confidence))), len(confidence) + 1)
        if count == len(confidence)
        or confidence[surest_first[count - 1]] > confidence[surest_first[count]]
    ]
    found = [_threshold(both, student, surest_first[:count], temperature) for count in counts]
    allowed = [one for one in found if one.allowed]
    if allowed:
        return max(allowed, key=lambda one: one.share)
    return min(found, key=lambda one: abs(one.share - 0.5))


def _threshold(
    both: Both, student: Shares, answered: npt.NDArray[np.int64], temperature: float
) -> Threshold:
    by_full, by_student = both.full.argmax(axis=1), student.argmax(axis=1)
    answers = by_full.copy()
    answers[answered] = by_student[answered]
    truth = np.eye(both.full.shape[1])[both.labels]
    expected = _macro_f1(both.full, by_full) - _macro_f1(both.full, answers)
    counted = _macro_f1(truth, by_full) - _macro_f1(truth, answers)
    lowest = float(student.max(axis=1)[answered].min())
    return Threshold(
        # Rounded down, so that the row it was taken from is still answered.
        FastPath(temperature=temperature, threshold=np.floor(lowest * 10**_DIGITS) / 10**_DIGITS),
        share=len(answered) / len(answers),
        expected_loss=round(float(expected), 6),
        counted_loss=round(float(counted), 6),
        agreement=round(float((answers == by_full).mean()), 6),
        allowed=bool(expected <= LARGEST_EXPECTED_LOSS and counted <= LARGEST_LOSS),
    )


def _macro_f1(truth: Shares, answers: npt.NDArray[np.int64]) -> float:
    """Where the truth is known by its probabilities: of the expected counts."""
    given = np.eye(truth.shape[1])[answers]
    hits = (truth * given).sum(axis=0)
    both = truth.sum(axis=0) + given.sum(axis=0)
    return float(np.divide(2 * hits, both, out=np.zeros(len(hits)), where=both > 0).mean())
