"""Counts that add up: however rows are split, the sum of the parts is the count of the whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentops_core.domain.tallies import (
    CONFIDENCE_BINS,
    AnswerTally,
    VoteTally,
    confidence_bin,
    length_bin,
    total_answers,
    total_votes,
)
from tests.support.rows import NOW, a_prediction
from tests.support.tallying import Vote, answer_tally, vote_tally

LABELS = st.sampled_from(["negative", "neutral", "positive"])
SCORES = st.floats(0, 1)
VOTES = st.lists(st.builds(Vote, meant=LABELS, answered=LABELS, score=SCORES), max_size=30)
PREDICTIONS = st.lists(
    st.builds(
        lambda label, score, text: a_prediction(NOW, text=text, label=label, score=score),
        LABELS,
        SCORES,
        st.one_of(st.none(), st.text(max_size=40)),
    ),
    max_size=20,
)
PARTS = st.randoms(use_true_random=False)


@given(VOTES, PARTS, st.integers(1, 5))
def test_votes_in_any_split_add_up_to_a_direct_count(votes, random, parts) -> None:
    split = [[] for _ in range(parts)]
    for vote in votes:
        random.choice(split).append(vote)
    assert total_votes(map(vote_tally, split)) == vote_tally(votes)


@given(PREDICTIONS, PARTS, st.integers(1, 5), st.sampled_from([None, frozenset({1, 2, 3})]))
def test_answers_in_any_split_add_up_to_a_direct_count(rows, random, parts, vocabulary) -> None:
    split = [[] for _ in range(parts)]
    for row in rows:
        random.choice(split).append(row)
    total = total_answers(answer_tally(some, vocabulary) for some in split)
    assert total == answer_tally(rows, vocabulary)


@given(SCORES)
def test_every_score_has_a_bin_and_a_greater_one_none_before_it(score: float) -> None:
    assert 0 <= confidence_bin(score) < CONFIDENCE_BINS
    assert confidence_bin(score) <= confidence_bin(1.0) == CONFIDENCE_BINS - 1


@pytest.mark.parametrize(("characters", "number"), [(0, 0), (7, 0), (8, 1), (4095, 9), (4096, 10)])
def test_a_length_lies_in_the_bin_that_begins_at_or_below_it(characters, number) -> None:
    assert length_bin(characters) == number


def test_nothing_is_the_sum_of_nothing() -> None:
    assert total_answers([]) == AnswerTally()
    assert total_votes([]) == VoteTally()
