"""The linear head that is fitted on a base's features."""

import numpy as np
import pytest

from sentops_trainer.rows import Rows

pytestmark = pytest.mark.torch


def rows_with(labels: np.ndarray) -> Rows:
    count = len(labels)
    return Rows(
        texts=[f"text {number}" for number in range(count)],
        labels=labels,
        weights=np.ones(count),
        hashes=[f"{number:064x}" for number in range(count)],
        languages=["en"] * count,
    )


def test_dimensions_that_are_nothing_but_rounding_get_no_weight() -> None:
    """As in MiniLM-L6, where three of 384 are: int8 rounded every other weight to 0 beside theirs."""
    from sentops_trainer.engine.linear import fit_head

    chance = np.random.default_rng(3)
    labels = np.arange(90) % 3
    features = chance.normal(size=(90, 6)) + 3 * np.eye(6)[labels]
    features[:, 4] = 1e-33 * chance.normal(size=90)
    features[:, 5] = 2.5  # the same for all
    head = fit_head(features, rows_with(labels), 0.1, 0)
    assert np.all(head.weight[:, 4:] == 0)
    assert 0.01 < np.abs(head.weight[:, :4]).max() < 10
    assert (head.logits(features).argmax(axis=1) == labels).mean() > 0.8
