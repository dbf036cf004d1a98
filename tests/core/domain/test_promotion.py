"""The gate: three verdicts, each with the numbers it stands on."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentops_core.domain.evaluation import MustPass
from sentops_core.domain.promotion import judge, mcnemar_p_value
from sentops_core.domain.resources import Gate, Verdict
from tests.support.builders import a_comparison, an_evaluation

GATE = Gate()


def test_a_clearly_better_candidate_passes() -> None:
    result = judge(GATE, an_evaluation(0.75), a_comparison(an_evaluation(0.72)), None)
    assert result.verdict is Verdict.PASS
    assert result.metrics[0].champion == "0.7200"
    assert result.p_value is not None


def test_without_a_champion_only_the_absolute_rules_count() -> None:
    assert judge(GATE, an_evaluation(0.55), None, None).verdict is Verdict.PASS
    assert judge(GATE, an_evaluation(0.45), None, None).verdict is Verdict.FAIL


def test_a_candidate_slightly_under_the_champion_is_inconclusive() -> None:
    paired = a_comparison(an_evaluation(0.755), better=20, worse=22, difference=-0.005)
    result = judge(GATE, an_evaluation(0.75), paired, None)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "within the noise" in result.reasons[0]


def test_a_candidate_that_could_be_much_worse_is_inconclusive() -> None:
    paired = a_comparison(an_evaluation(0.74), better=30, worse=28, difference=0.01, spread=0.09)
    assert judge(GATE, an_evaluation(0.75), paired, None).verdict is Verdict.INCONCLUSIVE


def test_a_candidate_far_under_the_champion_fails() -> None:
    paired = a_comparison(an_evaluation(0.80), better=10, worse=40, difference=-0.05)
    assert judge(GATE, an_evaluation(0.75), paired, None).verdict is Verdict.FAIL


def test_losing_the_paired_test_fails_even_with_an_equal_score() -> None:
    paired = a_comparison(an_evaluation(0.75), better=10, worse=40, difference=0.0)
    result = judge(GATE, an_evaluation(0.75), paired, None)
    assert result.verdict is Verdict.FAIL
    assert "McNemar" in result.reasons[0]


def test_too_few_rows_are_inconclusive() -> None:
    assert judge(GATE, an_evaluation(0.9, rows=30), None, None).verdict is Verdict.INCONCLUSIVE


def test_a_class_under_its_recall_floor_fails() -> None:
    gate = Gate.model_validate({"perClassMin": {"recall": "0.6"}})
    assert judge(gate, an_evaluation(0.75, recall=0.5), None, None).verdict is Verdict.FAIL


def test_a_wrong_must_pass_example_fails_and_is_named() -> None:
    result = judge(GATE, an_evaluation(0.9), None, MustPass(total=2, failed=("ottimo",)))
    assert result.verdict is Verdict.FAIL
    assert "ottimo" in result.reasons[0]


@pytest.mark.parametrize(
    ("first", "second", "expected"), [(0, 0, 1.0), (5, 5, 1.0), (10, 0, 0.001953125)]
)
def test_mcnemar_agrees_with_the_exact_binomial_test(
    first: int, second: int, expected: float
) -> None:
    assert mcnemar_p_value(first, second) == pytest.approx(expected)


@given(first=st.integers(0, 300), second=st.integers(0, 300))
def test_mcnemar_is_symmetric_and_a_probability(first: int, second: int) -> None:
    p_value = mcnemar_p_value(first, second)
    assert 0 <= p_value <= 1
    assert math.isclose(p_value, mcnemar_p_value(second, first))


@given(
    candidate=st.floats(0, 1),
    champion=st.floats(0, 1),
    better=st.integers(0, 100),
    worse=st.integers(0, 100),
)
def test_pass_never_means_under_the_champion_or_under_the_minimum(
    candidate: float, champion: float, better: int, worse: int
) -> None:
    paired = a_comparison(
        an_evaluation(champion), better=better, worse=worse, difference=candidate - champion
    )
    result = judge(GATE, an_evaluation(candidate), paired, None)
    if result.verdict is Verdict.PASS:
        assert candidate >= champion
        assert candidate >= float(GATE.metrics[0].min)
    assert result.reasons
