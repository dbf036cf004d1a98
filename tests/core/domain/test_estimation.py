"""Accuracy without votes: near the truth where its assumptions hold, and refused with a reason where votes doubt them."""

import random
from collections.abc import Callable

import pytest

from sentops_core.domain.estimation import LEAST_VOTES, VoteHalves, estimate_of, halves
from sentops_core.domain.tallies import AnswerTally, VoteTally
from tests.support.rows import a_prediction
from tests.support.tallying import Vote, answer_tally, vote_tally

# What a confidence really means: this model is surer than it should be, the more so with one label.
TRULY = {"negative": lambda score: score - 0.25, "positive": lambda score: score - 0.05}


def an_answer(chance: random.Random, surest: float = 1.0) -> tuple[str, float]:
    return chance.choice(sorted(TRULY)), chance.uniform(0.5, surest)


def answers_like(
    chance: random.Random, count: int, surest: float = 1.0
) -> tuple[AnswerTally, float]:
    """Some answers and how many of them are right, which nobody says."""
    drawn = [an_answer(chance, surest) for _ in range(count)]
    rows = [a_prediction(text=None, label=label, score=score) for label, score in drawn]
    return answer_tally(rows), sum(TRULY[label](score) for label, score in drawn) / count


def votes_like(
    chance: random.Random,
    count: int,
    truly: dict[str, Callable[[float], float]] = TRULY,
    *,
    surest: float = 1.0,
) -> VoteTally:
    votes = []
    for _ in range(count):
        label, score = an_answer(chance, surest)
        right = chance.random() < truly[label](score)
        votes.append(Vote(label if right else "neutral", label, score))
    return vote_tally(votes)


def evidence(chance: random.Random, count: int = 1000, **fields: object) -> VoteHalves:
    return VoteHalves(votes_like(chance, count), votes_like(chance, count), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("surest", [1.0, 0.7])
def test_the_estimate_is_near_the_truth_also_where_answers_are_less_sure_than_votes(
    surest: float,
) -> None:
    """The raw confidence would be 15 points too high, and the votes' own accuracy misses that the mix has moved."""
    chance = random.Random(1)
    given = held = 0
    for _ in range(60):
        answers, truth = answers_like(chance, 500, surest)
        measured = estimate_of(answers, evidence(chance)).accuracy
        if measured is not None:  # else chance has contradicted, as it does once in a hundred times
            given += 1
            assert measured.samples == 500
            assert abs(measured.value - truth) < 0.07
            held += measured.low <= truth <= measured.high
    assert given >= 57
    assert held >= 0.95 * given


def test_votes_that_say_otherwise_than_before_switch_it_off() -> None:
    """What is right has changed, and confidence has not: the very case in which an estimate would soothe."""
    chance = random.Random(2)
    turned = {label: lambda score: score - 0.45 for label in TRULY}
    answers, _ = answers_like(chance, 500)
    votes = VoteHalves(votes_like(chance, 500), votes_like(chance, 500, turned))
    estimate = estimate_of(answers, votes)
    assert estimate.accuracy is None
    assert estimate.refused is not None
    assert "contradict" in estimate.refused
    assert "500 votes" in estimate.refused


def test_chance_alone_seldom_contradicts() -> None:
    chance = random.Random(3)
    answers, _ = answers_like(chance, 200)
    refused = [estimate_of(answers, evidence(chance, 150)).refused for _ in range(100)]
    assert sum(one is not None for one in refused) <= 3


def test_a_small_contradiction_that_many_votes_prove_is_tolerated() -> None:
    chance = random.Random(4)
    a_little_worse = {
        label: lambda score, label=label: TRULY[label](score) - 0.02 for label in TRULY
    }
    answers, _ = answers_like(chance, 200)
    votes = VoteHalves(votes_like(chance, 20_000), votes_like(chance, 20_000, a_little_worse))
    assert estimate_of(answers, votes).refused is None


@pytest.mark.parametrize(
    ("older", "newer"), [(0, 0), (LEAST_VOTES - 1, 500), (500, LEAST_VOTES - 1)]
)
def test_too_few_votes_to_try_it_on_are_a_reason(older: int, newer: int) -> None:
    chance = random.Random(5)
    answers, _ = answers_like(chance, 200)
    votes = VoteHalves(votes_like(chance, older), votes_like(chance, newer))
    refused = estimate_of(answers, votes).refused
    assert refused is not None
    assert f"{older} older and {newer} newer" in refused


def test_votes_of_mostly_one_source_are_no_evidence() -> None:
    chance = random.Random(6)
    answers, _ = answers_like(chance, 200)
    refused = estimate_of(answers, evidence(chance, largest_source_share=0.62)).refused
    assert refused is not None
    assert "62%" in refused
    assert estimate_of(answers, evidence(chance, largest_source_share=0.4)).refused is None


def test_answers_of_a_confidence_that_nobody_voted_on_are_not_guessed_at() -> None:
    chance = random.Random(7)
    answers, _ = answers_like(chance, 400)
    votes = VoteHalves(votes_like(chance, 400, surest=0.75), votes_like(chance, 400, surest=0.75))
    refused = estimate_of(answers, votes).refused
    assert refused is not None
    assert "nobody voted on" in refused


def test_the_halves_are_cut_where_the_older_one_has_half_of_the_votes() -> None:
    hours = [vote_tally([Vote("a", "a", 0.9)] * count) for count in (1, 2, 3, 4)]
    cut = halves(hours, None)
    assert (cut.older.votes, cut.newer.votes) == (6, 4)
    assert cut.all.votes == 10
    assert halves([], None).all == VoteTally()
