import pytest
from pydantic import ValidationError

from sentops_core.domain.resources import Hyperparameters, Method, Trainer, unused_hyperparameters
from sentops_trainer.failures import BadSpec
from sentops_trainer.hyperparameters import FineTuneSettings, LinearSettings, for_rows, settle


def test_what_is_left_out_is_chosen_by_the_method() -> None:
    settings = settle(Method.FINE_TUNE, Hyperparameters())
    assert isinstance(settings, FineTuneSettings)
    assert settings.learning_rate == 1e-4
    assert settings.seed == 42
    assert settle(Method.LINEAR, Hyperparameters(max_length=64)) == LinearSettings(64, 42)


def test_what_is_given_is_used() -> None:
    given = Hyperparameters(learning_rate="3e-5", epochs=2, warmup_ratio="0", weight_decay="0")
    settings = settle(Method.FINE_TUNE, given)
    assert isinstance(settings, FineTuneSettings)
    assert (settings.learning_rate, settings.epochs) == (3e-5, 2)
    assert (settings.warmup_ratio, settings.weight_decay) == (0.0, 0.0)


def test_a_linear_job_with_a_learning_rate_is_refused_by_the_api_names() -> None:
    given = Hyperparameters(learning_rate="1e-3", batch_size=8)
    assert unused_hyperparameters(Method.LINEAR, given) == ["learningRate", "batchSize"]
    assert unused_hyperparameters(Method.FINE_TUNE, given) == []
    with pytest.raises(BadSpec, match="learningRate, batchSize: leave them out"):
        settle(Method.LINEAR, given)


def test_a_trainer_and_a_run_refuse_the_same_hyperparameters() -> None:
    given = Hyperparameters(learning_rate="1e-3", epochs=3, max_length=64, seed=7)
    with pytest.raises(ValidationError, match="does not use learningRate, epochs; leave them out"):
        Trainer(method=Method.LINEAR, hyperparameters=given)
    with pytest.raises(BadSpec, match="does not use learningRate, epochs: leave them out"):
        settle(Method.LINEAR, given)


def test_few_rows_are_learnt_in_smaller_batches_unless_somebody_chose_one() -> None:
    default, chosen = Hyperparameters(), Hyperparameters(batch_size=32)
    for given, rows, expected in (
        (default, 100, 8),
        (default, 1500, 15),
        (default, 5000, 32),
        (chosen, 100, 32),
    ):
        settings = for_rows(settle(Method.FINE_TUNE, given), given, rows)
        assert isinstance(settings, FineTuneSettings)
        assert settings.batch_size == expected
