"""Which rows a training puts together, and the dropout it uses on a CPU."""

import pytest

pytestmark = pytest.mark.torch


def test_every_row_comes_once_an_epoch_among_rows_of_its_length() -> None:
    from sentops_trainer.engine.order import SimilarLengths

    lengths = [5 + number % 60 for number in range(1003)]
    epoch = [0.0]
    order = SimilarLengths(lengths, 32, 7, lambda: epoch[0])
    first = list(order)
    assert sorted(first) == list(range(1003))
    padded = sum(
        max(lengths[row] for row in first[start : start + 32]) * len(first[start : start + 32])
        for start in range(0, 1003, 32)
    )
    assert padded < 1.1 * sum(lengths)
    epoch[0] = 0.7  # a run that goes on in the middle of its first epoch
    assert list(order) == first
    epoch[0] = 1.0
    assert list(order) != first


def test_cheap_dropout_drops_its_share_keeps_the_mean_and_stops_when_evaluated() -> None:
    import torch

    from sentops_trainer.engine.dropout import CheapDropout

    torch.manual_seed(3)
    dropout = CheapDropout(0.1)
    values = torch.ones(100, 1003, requires_grad=True)
    dropped = dropout(values)
    assert 0.095 < (dropped == 0).float().mean() < 0.108
    assert dropped.mean().item() == pytest.approx(1, abs=0.005)
    dropped.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, dropped.detach())
    assert torch.equal(dropout.eval()(values), values)
