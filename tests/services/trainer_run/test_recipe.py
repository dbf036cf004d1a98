"""How FineTune learns: which weights it averages and keeps, and when its head starts from the frozen features."""

from pathlib import Path

import pytest

pytest.importorskip("torch")


def test_weights_are_averaged_over_a_share_of_the_steps() -> None:
    from sentops_trainer.engine.averaging import averaging_window

    assert averaging_window(5) == 1
    assert averaging_window(300) == 20
    assert averaging_window(100_000) == 100


def test_an_average_follows_what_is_learnt_and_can_be_tried_on(tmp_path: Path) -> None:
    import torch

    from sentops_trainer.engine.averaging import AveragedWeights

    module = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(0)
    averages = {window: AveragedWeights(module, window) for window in (1.0, 4.0, 50.0)}
    for step in range(1, 101):
        with torch.no_grad():
            module.weight.fill_(step / 100)
        for average in averages.values():
            average.update(step)
    found = []
    for average in averages.values():
        with average.in_place():
            found.append(module.weight.item())
        assert module.weight.item() == 1
    assert found[0] == 1  # a window of one step is the step
    assert 1 > found[1] > found[2] > 0.5  # a longer one lags further behind
    averages[4.0].save(tmp_path / "average")
    averages[50.0].load(tmp_path / "average")
    averages[50.0].keep_for_good()
    assert module.weight.item() == found[1]


@pytest.mark.parametrize(
    ("score", "rows", "kept"),
    [(0.71, 90, True), (0.69, 90, True), (0.6, 90, False), (0.69, 4000, False), (0.7, 4000, True)],
)
def test_of_weights_that_few_rows_cannot_tell_apart_the_later_may_be_kept(
    score: float, rows: int, kept: bool
) -> None:
    from sentops_trainer.engine.recipe import as_good_as

    assert as_good_as(score, 0.7, rows=rows) is kept


@pytest.mark.parametrize(("pooling", "starts_fitted"), [("mean", True), ("cls", False)])
def test_a_head_is_fitted_first_only_to_features_that_the_base_was_trained_for(
    pooling: str, starts_fitted: bool, tiny_base: Path
) -> None:
    from sentops_trainer import base_models
    from sentops_trainer.engine.classifier import load_classifier

    base = base_models.resolve(tiny_base.as_uri())
    assert base.pooling == "mean"
    classifier = load_classifier(base, labels=3, pooling=pooling)
    assert classifier.pooled_as_pretrained is starts_fitted
