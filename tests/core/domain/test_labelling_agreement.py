"""Krippendorff's alpha, against the worked examples of its author."""

import pytest

from sentops_core.domain.labelling_agreement import krippendorff_alpha

# K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), sections A, B and C; a dot is no answer.
TWO_OBSERVERS_BINARY = ("0100000010", "1110010000")
TWO_OBSERVERS = ("aabbdcccedda", "babbbccceddd")
FOUR_OBSERVERS = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")


def units(*observers: str) -> list[tuple[list[str], int]]:
    return [([label for label in unit if label != "."], 1) for unit in zip(*observers, strict=True)]


@pytest.mark.parametrize(
    ("observers", "alpha"),
    [(TWO_OBSERVERS_BINARY, 0.095), (TWO_OBSERVERS, 0.692), (FOUR_OBSERVERS, 0.743)],
)
def test_alpha_is_what_its_author_computed(observers: tuple[str, ...], alpha: float) -> None:
    found = krippendorff_alpha(units(*observers))
    assert found == pytest.approx(alpha, abs=0.0005)


def test_full_agreement_is_one_and_systematic_difference_is_below_chance() -> None:
    assert krippendorff_alpha([(["a", "a"], 10), (["b", "b"], 10)]) == 1
    below = krippendorff_alpha([(["a", "b"], 20)])
    assert below is not None
    assert below < 0


def test_units_alike_can_be_counted_instead_of_listed() -> None:
    listed = [(["a", "a"], 1)] * 7 + [(["a", "b"], 1)] * 2 + [(["b", "b", "b"], 1)] * 3
    counted = [(["a", "a"], 7), (["b", "a"], 2), (["b", "b", "b"], 3)]
    assert krippendorff_alpha(listed) == pytest.approx(krippendorff_alpha(counted) or 0)


def test_without_anything_to_compare_agreement_is_unknown() -> None:
    assert krippendorff_alpha([]) is None
    assert krippendorff_alpha([(["a"], 5)]) is None
    assert krippendorff_alpha([(["a", "a"], 5)]) is None
