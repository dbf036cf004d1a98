"""Measures on held-out rows, in plain numpy: scores, calibration, and the paired comparison of two models."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sentops_core.domain.evaluation import ClassScores, Evaluation, PairedComparison
from sentops_core.domain.run import ChampionRef

Numbers = npt.NDArray[np.int64]
Shares = npt.NDArray[np.floating]

BINS = 10
BOOTSTRAP_SAMPLES = 2000
_DIGITS = 6
UNKNOWN = -1  # a predicted label that is not among the job's: always wrong


@dataclass(frozen=True)
class Champion:
    """What the champion answered for the held-out rows."""

    ref: ChampionRef
    predicted: Numbers
    evaluation: Evaluation


def evaluate(labels: tuple[str, ...], truth: Numbers, probabilities: Shares) -> Evaluation:
    """One model's figures; probabilities has a column per label."""
    predicted = probabilities.argmax(axis=1).astype(np.int64)
    return evaluation_of(labels, truth, predicted, probabilities.max(axis=1))


def evaluation_of(
    labels: tuple[str, ...], truth: Numbers, predicted: Numbers, confidence: Shares
) -> Evaluation:
    """As `evaluate`, from each row's predicted label and its probability."""
    confusion = confusion_matrix(truth, predicted, len(labels))
    support = np.bincount(truth, minlength=len(labels))
    f1, precision, recall = _scores(confusion, support)
    right = truth == predicted
    return Evaluation(
        rows=len(truth),
        accuracy=_round(right.mean()),
        macro_f1=_round(macro_f1(truth, predicted, len(labels))),
        per_class={
            label: ClassScores(
                precision=_round(precision[number]),
                recall=_round(recall[number]),
                f1=_round(f1[number]),
                support=int(support[number]),
            )
            for number, label in enumerate(labels)
        },
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        calibration_error=_round(calibration_error(confidence, right)),
    )


def confusion_matrix(truth: Numbers, predicted: Numbers, labels: int) -> Numbers:
    """Rows: true label, columns: predicted. Predictions outside the labels are in no column."""
    known = predicted != UNKNOWN
    pairs = truth[known] * labels + predicted[known]
    return np.bincount(pairs, minlength=labels * labels).reshape(labels, labels).astype(np.int64)


def macro_f1(truth: Numbers, predicted: Numbers, labels: int) -> float:
    """Mean F1 over the labels that occur among the true ones."""
    support = np.bincount(truth, minlength=labels)
    f1 = _f1(
        confusion_matrix(truth, predicted, labels), support, _predicted_counts(predicted, labels)
    )
    return float(f1[support > 0].mean())


def calibration_error(confidence: Shares, right: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error over ten bins of equal width."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    confident = np.bincount(bins, weights=confidence, minlength=BINS)
    correct = np.bincount(bins, weights=right.astype(float), minlength=BINS)
    return float(np.abs(confident - correct).sum() / counts.sum())


def compare(
    truth: Numbers, candidate: Numbers, champion: Champion, *, seed: int
) -> PairedComparison:
    """Both models on the same rows: counts for McNemar's test and a bootstrap interval of the macro-F1 difference."""
    labels = len(champion.evaluation.per_class)
    difference = macro_f1(truth, candidate, labels) - macro_f1(truth, champion.predicted, labels)
    low, high = _bootstrap(truth, candidate, champion.predicted, labels=labels, seed=seed)
    candidate_right, champion_right = truth == candidate, truth == champion.predicted
    return PairedComparison(
        champion_version=champion.ref.model_version,
        champion_digest=champion.ref.digest,
        champion=champion.evaluation,
        both_right=int((candidate_right & champion_right).sum()),
        only_candidate_right=int((candidate_right & ~champion_right).sum()),
        only_champion_right=int((~candidate_right & champion_right).sum()),
        neither_right=int((~candidate_right & ~champion_right).sum()),
        macro_f1_difference=_round(difference),
        macro_f1_difference_low=_round(low),
        macro_f1_difference_high=_round(high),
    )


def _bootstrap(
    truth: Numbers, candidate: Numbers, champion: Numbers, *, labels: int, seed: int
) -> tuple[float, float]:
    generator = np.random.default_rng(seed)
    differences = np.empty(BOOTSTRAP_SAMPLES)
    for sample in range(BOOTSTRAP_SAMPLES):
        rows = generator.integers(0, len(truth), len(truth))
        differences[sample] = macro_f1(truth[rows], candidate[rows], labels) - macro_f1(
            truth[rows], champion[rows], labels
        )
    low, high = np.quantile(differences, [0.05, 0.95])
    return float(low), float(high)


def _scores(confusion: Numbers, support: Numbers) -> tuple[Shares, Shares, Shares]:
    hits = np.diag(confusion)
    predicted = confusion.sum(axis=0)
    precision = np.divide(hits, predicted, out=np.zeros(len(hits)), where=predicted > 0)
    recall = np.divide(hits, support, out=np.zeros(len(hits)), where=support > 0)
    return _f1(confusion, support, predicted), precision, recall


def _f1(confusion: Numbers, support: Numbers, predicted: Numbers) -> Shares:
    both = support + predicted
    f1: Shares = np.divide(2 * np.diag(confusion), both, out=np.zeros(len(both)), where=both > 0)
    return f1


def _predicted_counts(predicted: Numbers, labels: int) -> Numbers:
    return np.bincount(predicted[predicted != UNKNOWN], minlength=labels)


def _round(value: float | np.floating) -> float:
    return round(float(value), _DIGITS)
