"""Training in half precision, as on a GPU that has units for it, leaves nothing of it behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sentops_core.domain.run import RunResult
from tests.support.training_runs import FAST, StoredDataset, a_spec

pytestmark = pytest.mark.torch


def test_what_was_trained_in_bf16_is_exported_and_served_in_float32(
    tiny_base: Path,
    dataset: StoredDataset,
    run_here: Callable[..., RunResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    from sentops_trainer.engine import attempt, fine_tune, recipe

    precisions = set()
    train = fine_tune.train_fine_tune

    def watched(classifier: Any, *others: Any) -> Any:
        forward = type(classifier.encoder.encoder.layer[0].output.dense).forward

        def look(self: torch.nn.Linear, values: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = forward(self, values)
            precisions.add((torch.is_grad_enabled(), result.dtype))
            return result

        with monkeypatch.context() as within:
            within.setattr(torch.nn.Linear, "forward", look)
            trained = train(classifier, *others)
        assert classifier.forward.__func__ is type(classifier).forward
        return trained

    monkeypatch.setattr(recipe, "half_precision", lambda: "bf16")
    monkeypatch.setattr(attempt, "train_fine_tune", watched)
    spec = a_spec(dataset, tiny_base, tmp_path / "store", method="FineTune", hyperparameters=FAST)
    result = run_here(spec, tmp_path / "work")
    assert (True, torch.bfloat16) in precisions
    assert result.evaluation is not None
    assert result.evaluation.macro_f1 > 0.8
