"""The order of the labelling queue, and what opinions settle."""

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentops_core.domain.labelling import (
    Lane,
    Outcome,
    Reason,
    Signals,
    State,
    contest,
    fallbacks,
    in_order,
    in_random_share,
    lane_of,
    outcome,
    reason_of,
    uncertainty,
    worth,
)
from sentops_core.domain.text import content_hash

SURE = {"positive": 0.98, "neutral": 0.01, "negative": 0.01}
TORN = {"positive": 0.49, "negative": 0.48, "neutral": 0.03}


@dataclass(frozen=True)
class AText:
    id: int
    value: float = 0.0
    opinions: int = 0


def test_uncertainty_is_the_closeness_of_the_two_best_labels() -> None:
    assert uncertainty(TORN) == pytest.approx(0.99)
    assert uncertainty(SURE) == pytest.approx(0.03)
    assert uncertainty({"positive": 1.0}) == 0
    assert uncertainty({}) == 1


@pytest.mark.parametrize(
    ("votes_for", "votes_against", "expected"),
    [(0, 0, 0), (9, 0, 0), (0, 1, 1), (1, 2, 1), (0, 3, 0.5), (3, 1, 0.4)],
)
def test_a_contest_is_even_when_voices_are_and_the_model_is_one_voice(
    votes_for: int, votes_against: int, expected: float
) -> None:
    assert contest(votes_for, votes_against) == pytest.approx(expected)


def test_a_disagreement_of_models_outweighs_a_contest_and_that_outweighs_doubt() -> None:
    disagreement = worth(Signals(SURE, candidate_disagrees=True))
    contested = worth(Signals(SURE, votes_against=1))
    doubtful = worth(Signals(TORN))
    sure = worth(Signals(SURE))
    assert disagreement > contested > doubtful > sure


def test_reasons_add_up() -> None:
    everything = Signals(TORN, candidate_disagrees=True, votes_against=1)
    assert worth(everything) == pytest.approx(2 + 1 + 0.99)
    assert reason_of(everything) is Reason.DISAGREEMENT
    assert reason_of(Signals(SURE, votes_against=1)) is Reason.CONTESTED
    assert reason_of(Signals(SURE, votes_against=60)) is Reason.UNCERTAIN
    assert reason_of(Signals(TORN)) is Reason.UNCERTAIN


def test_begun_texts_come_first_then_the_most_valuable_then_the_oldest() -> None:
    items = [
        AText(1, 0.1),
        AText(2, 2.5),
        AText(3, 0.5, opinions=1),
        AText(4, 0.1, opinions=1),
        AText(5, 0.1),
    ]
    assert [item.id for item in in_order(items)] == [3, 4, 2, 1, 5]


@given(st.permutations([AText(n, value=n % 3, opinions=n % 2) for n in range(8)]))
def test_the_order_does_not_depend_on_how_texts_were_found(items: list[AText]) -> None:
    assert in_order(items) == in_order(list(reversed(items)))


def test_lanes_have_their_shares_in_the_long_run() -> None:
    lanes = Counter(lane_of("ada", turn, drawn_share=0.2, gold_share=0.1) for turn in range(5000))
    assert lanes[Lane.GOLD] / 5000 == pytest.approx(0.1, abs=0.02)
    assert lanes[Lane.DRAWN] / 5000 == pytest.approx(0.18, abs=0.02)  # a fifth of what is not gold


def test_a_turn_asked_for_again_is_the_same_and_differs_between_people() -> None:
    def turns(name: str) -> list[Lane]:
        return [lane_of(name, turn, drawn_share=0.5, gold_share=0.1) for turn in range(50)]

    assert turns("ada") == turns("ada")
    assert turns("ada") != turns("bruno")


@pytest.mark.parametrize("drawn", [0.0, 1.0])
def test_a_share_of_nothing_or_everything_is_just_that(drawn: float) -> None:
    lanes = {lane_of("ada", turn, drawn_share=drawn, gold_share=0) for turn in range(200)}
    assert lanes == {Lane.DRAWN if drawn else Lane.VALUE}


def test_a_sixteenth_of_all_texts_is_the_random_share() -> None:
    texts = [content_hash(f"text {n}") for n in range(8000)]
    assert sum(map(in_random_share, texts)) / 8000 == pytest.approx(1 / 16, abs=0.01)
    assert in_random_share(b"\x0f\xff")
    assert not in_random_share(b"\x10")


def test_an_empty_lane_is_replaced_but_never_by_gold() -> None:
    for lane in Lane:
        assert fallbacks(lane)[0] is lane
        assert Lane.GOLD not in fallbacks(lane)[1:]
        assert {Lane.VALUE, Lane.DRAWN} <= set(fallbacks(lane))


@pytest.mark.parametrize(
    ("labels", "skips", "wanted", "expected"),
    [
        ([], 0, 1, Outcome(State.OPEN)),
        (["positive"], 0, 1, Outcome(State.DONE, "positive")),
        (["positive"], 0, 2, Outcome(State.OPEN)),
        (["positive", "positive"], 0, 2, Outcome(State.DONE, "positive")),
        (["positive", "negative"], 0, 2, Outcome(State.CONTESTED)),
        (["positive", "negative"], 0, 3, Outcome(State.CONTESTED)),
        (["positive", "positive", "negative"], 0, 3, Outcome(State.CONTESTED)),
        (["positive", "positive"], 0, 1, Outcome(State.DONE, "positive")),
        ([], 1, 1, Outcome(State.OPEN)),
        ([], 2, 1, Outcome(State.CONTESTED)),
        (["positive"], 2, 1, Outcome(State.DONE, "positive")),
    ],
)
def test_opinions_settle_an_item_only_when_they_are_enough_and_alike(
    labels: list[str], skips: int, wanted: int, expected: Outcome
) -> None:
    assert outcome(labels, skips=skips, wanted=wanted) == expected
