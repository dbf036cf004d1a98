"""Shares and their intervals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentops_core.domain.quality import Accuracy, accuracy_of, wilson_interval


@pytest.mark.parametrize(
    ("successes", "samples", "low", "high"),
    [  # from scipy's binomtest(...).proportion_ci(method="wilson")
        (0, 10, 0.0, 0.27753),
        (10, 10, 0.72247, 1.0),
        (8, 10, 0.49016, 0.94331),
        (1, 1, 0.20655, 1.0),
        (450, 600, 0.71382, 0.78299),
    ],
)
def test_the_interval_is_wilson_s(successes: int, samples: int, low: float, high: float) -> None:
    assert wilson_interval(successes, samples) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(("successes", "samples"), [(0, 0), (-1, 3), (4, 3)])
def test_what_is_no_share_is_refused(successes: int, samples: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        wilson_interval(successes, samples)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_share_lies_in_its_interval_and_the_interval_in_0_to_1(pair: tuple[int, int]) -> None:
    successes, samples = pair
    low, high = wilson_interval(successes, samples)
    assert 0 <= low <= successes / samples <= high <= 1


@given(st.integers(0, 100), st.integers(2, 50))
def test_more_votes_of_the_same_share_narrow_the_interval(right: int, times: int) -> None:
    low, high = wilson_interval(right, 100)
    narrower_low, narrower_high = wilson_interval(right * times, 100 * times)
    assert narrower_high - narrower_low < high - low


def test_no_votes_are_unknown_and_not_zero() -> None:
    """Defect 13 of the earlier systems: a fresh install alerted because its gauge began at 0."""
    assert accuracy_of(0, 0) is None
    assert accuracy_of(0, 4) == Accuracy(0.0, *wilson_interval(0, 4), samples=4)
