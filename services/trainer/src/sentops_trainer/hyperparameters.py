"""What a method makes of the hyperparameters: defaults for what is left out, refusal of what it cannot use."""

from dataclasses import asdict, dataclass

from sentops_core.domain.resources import Hyperparameters, Method, unused_hyperparameters
from sentops_trainer.failures import BadSpec

DEFAULT_MAX_LENGTH = 256


@dataclass(frozen=True)
class LinearSettings:
    max_length: int
    seed: int


@dataclass(frozen=True)
class FineTuneSettings:
    """The defaults were chosen on validation parts of the Amazon training file (README)."""

    learning_rate: float
    epochs: int
    batch_size: int
    max_length: int
    weight_decay: float
    warmup_ratio: float
    early_stopping_patience: int
    seed: int


Settings = LinearSettings | FineTuneSettings


def settle(method: Method, given: Hyperparameters) -> Settings:
    """The settings of the run; BadSpec for a value that the method would ignore."""
    if names := unused_hyperparameters(method, given):
        raise BadSpec(
            f"the method {method} does not use {', '.join(names)}: leave them out, or train with {Method.FINE_TUNE}"
        )
    max_length = given.max_length or DEFAULT_MAX_LENGTH
    if method is Method.LINEAR:
        return LinearSettings(max_length=max_length, seed=given.seed)
    return FineTuneSettings(
        learning_rate=_number(given.learning_rate, 1e-4),
        epochs=given.epochs or 4,
        batch_size=given.batch_size or 32,
        max_length=max_length,
        weight_decay=_number(given.weight_decay, 0.01),
        warmup_ratio=_number(given.warmup_ratio, 0.1),
        early_stopping_patience=given.early_stopping_patience or 2,
        seed=given.seed,
    )


def as_plain(settings: Settings) -> dict[str, str | int | float | bool]:
    """For the manifest and the card."""
    return asdict(settings)


def _number(given: str | None, default: float) -> float:
    return default if given is None else float(given)
