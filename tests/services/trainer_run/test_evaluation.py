"""The measures, checked by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from sentops_core.domain.run import ChampionRef
from sentops_trainer.evaluation import (
    UNKNOWN,
    Champion,
    calibration_error,
    compare,
    evaluate,
    evaluation_of,
    macro_f1,
)

LABELS = ("negative", "neutral", "positive")


def random_answers(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 3, rows), generator.dirichlet((1, 1, 1), rows)


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_scikit_learn(seed: int) -> None:
    truth, probabilities = random_answers(80, seed)
    predicted = probabilities.argmax(axis=1)
    found = evaluate(LABELS, truth, probabilities)
    assert found.accuracy == pytest.approx(accuracy_score(truth, predicted), abs=1e-6)
    assert found.macro_f1 == pytest.approx(f1_score(truth, predicted, average="macro"), abs=1e-6)
    each = f1_score(truth, predicted, average=None)
    assert [found.per_class[label].f1 for label in LABELS] == pytest.approx(each, abs=1e-6)
    assert sum(map(sum, found.confusion)) == 80


def test_the_confusion_has_a_row_per_true_label() -> None:
    truth = np.array([0, 0, 1, 2])
    predicted = np.array([0, 1, 1, 2])
    found = evaluation_of(LABELS, truth, predicted, np.ones(4))
    assert found.confusion == ((1, 1, 0), (0, 1, 0), (0, 0, 1))
    assert found.per_class["negative"].recall == 0.5
    assert found.per_class["neutral"].precision == 0.5


def test_a_label_the_job_does_not_know_is_always_wrong() -> None:
    truth = np.array([0, 0, 1, 1])
    predicted = np.array([0, UNKNOWN, 1, 1])
    found = evaluation_of(LABELS[:2], truth, predicted, np.ones(4))
    assert found.accuracy == 0.75
    assert found.per_class["negative"].recall == 0.5


def test_a_label_without_held_out_rows_does_not_lower_macro_f1() -> None:
    truth = np.array([0, 0, 1, 1])
    assert macro_f1(truth, truth, 3) == 1.0


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    confidence = np.full(10, 0.85)
    right = np.array([True] * 6 + [False] * 4)
    assert calibration_error(confidence, right) == pytest.approx(0.25)
    assert calibration_error(np.ones(4), np.ones(4, dtype=bool)) == 0


def compared(candidate: np.ndarray, champion: np.ndarray, truth: np.ndarray, seed: int = 1):
    return compare(
        truth,
        candidate,
        Champion(
            ChampionRef(model_version="m-1", storage_uri="file:///m", digest="sha256:" + "0" * 64),
            champion,
            evaluation_of(LABELS, truth, champion, np.ones(len(truth))),
        ),
        seed=seed,
    )


def test_the_paired_counts_cover_every_row_once() -> None:
    truth = np.array([0, 1, 2, 0, 1, 2])
    candidate = np.array([0, 1, 2, 1, 2, 0])
    champion = np.array([0, 1, 0, 0, 0, 1])
    found = compared(candidate, champion, truth)
    assert (found.both_right, found.only_candidate_right) == (2, 1)
    assert (found.only_champion_right, found.neither_right) == (1, 2)


def test_the_interval_holds_the_difference_and_depends_on_the_seed_alone() -> None:
    truth, _ = random_answers(200, 3)
    champion = np.where(np.arange(200) % 3 == 0, (truth + 1) % 3, truth)
    candidate = np.where(np.arange(200) % 5 == 0, (truth + 1) % 3, truth)
    found = compared(candidate, champion, truth)
    assert (
        found.macro_f1_difference_low < found.macro_f1_difference < found.macro_f1_difference_high
    )
    assert found.macro_f1_difference_low > 0
    assert found == compared(candidate, champion, truth)
    assert found != compared(candidate, champion, truth, seed=2)
