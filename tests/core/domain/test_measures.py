"""Quality from votes equals what scikit-learn and the trainer's own evaluation make of the same rows."""

import random

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from sentops_core.domain.calibration import calibration_error_of
from sentops_core.domain.intervals import macro_f1_of
from sentops_core.domain.quality import (
    accuracy_of,
    classes_of,
    right_of,
    wilson_interval,
)
from sentops_core.domain.tallies import VoteTally
from sentops_trainer.evaluation import calibration_error
from tests.support.tallying import Vote, vote_tally

LABELS = ["negative", "neutral", "positive"]


def some_votes(seed: int, count: int, answered: list[str] = LABELS) -> list[Vote]:
    chance = random.Random(seed)
    votes = []
    for _ in range(count):
        answer, score = chance.choice(answered), chance.uniform(0.34, 1)
        meant = answer if chance.random() < score - 0.1 else chance.choice(LABELS)
        votes.append(Vote(meant, answer, score))
    return votes


SAMPLES = [
    some_votes(1, 1),
    some_votes(2, 7),
    some_votes(3, 400),
    some_votes(4, 300, ["negative", "positive"]),  # a label that is meant and never answered
    [Vote("positive", "negative", 0.9), Vote("positive", "neutral", 0.9)],  # nothing right
]


@pytest.mark.parametrize("votes", SAMPLES)
def test_the_figures_are_scikit_learn_s(votes: list[Vote]) -> None:
    meant, answered = [one.meant for one in votes], [one.answered for one in votes]
    tally = vote_tally(votes)
    accuracy = accuracy_of(right_of(tally), tally.votes)
    assert accuracy is not None
    assert accuracy.value == pytest.approx(accuracy_score(meant, answered))
    present = sorted(set(meant))
    macro = macro_f1_of(tally.confusion)
    assert macro is not None
    assert macro.samples == len(votes)
    assert macro.low <= macro.value <= macro.high
    expected = f1_score(meant, answered, labels=present, average="macro", zero_division=0)
    assert macro.value == pytest.approx(expected)
    classes = classes_of(tally)
    assert sorted(classes) == sorted({*meant, *answered})
    for label, scores in classes.items():
        shares = {"labels": [label], "average": None, "zero_division": np.nan}
        precision = precision_score(meant, answered, **shares)[0]
        recall = recall_score(meant, answered, **shares)[0]
        for measured, wanted, samples in (
            (scores.precision, precision, answered.count(label)),
            (scores.recall, recall, meant.count(label)),
        ):
            if not samples:
                assert measured is None  # unknown, and not 0
                continue
            assert measured is not None
            assert measured.value == pytest.approx(wanted)
            assert (measured.low, measured.high) == wilson_interval(scores.right, samples)
            assert measured.samples == samples


@pytest.mark.parametrize("votes", SAMPLES)
def test_the_calibration_error_is_that_of_a_training_s_evaluation(votes: list[Vote]) -> None:
    measured = calibration_error_of(vote_tally(votes))
    assert measured is not None
    scores = np.array([one.score for one in votes])
    right = np.array([one.meant == one.answered for one in votes])
    assert measured.value == pytest.approx(calibration_error(scores, right), abs=2e-6)
    assert 0 <= measured.low <= measured.value <= measured.high <= 1


def test_without_votes_everything_is_unknown() -> None:
    nothing = VoteTally()
    assert macro_f1_of(nothing.confusion) is None
    assert calibration_error_of(nothing) is None
    assert classes_of(nothing) == {}


def votes_off_by(bias: float, count: int, chance: random.Random) -> list[Vote]:
    """Right as often as the score says, less `bias`."""
    votes = []
    for _ in range(count):
        score = chance.uniform(0.4, 1)
        right = chance.random() < max(0.0, score - bias)
        votes.append(Vote("positive" if right else "negative", "positive", score))
    return votes


@pytest.mark.parametrize(("bias", "count"), [(0.0, 60), (0.0, 600), (0.15, 60), (0.15, 600)])
def test_the_interval_of_the_calibration_error_holds_the_true_one(bias, count) -> None:
    """At least 95 of 100 times; the value alone is above the truth nearly always when the model is calibrated."""
    chance = random.Random(5)
    held = 0
    for _ in range(200):
        measured = calibration_error_of(vote_tally(votes_off_by(bias, count, chance)))
        assert measured is not None
        held += measured.low <= bias <= measured.high
    assert held >= 190


def test_many_votes_prove_a_miscalibrated_model_and_few_do_not() -> None:
    chance = random.Random(6)
    few = calibration_error_of(vote_tally(votes_off_by(0.15, 20, chance)))
    many = calibration_error_of(vote_tally(votes_off_by(0.15, 2000, chance)))
    assert few is not None
    assert many is not None
    assert few.low == 0
    assert 0.05 < many.low < 0.15 < many.high < 0.2
