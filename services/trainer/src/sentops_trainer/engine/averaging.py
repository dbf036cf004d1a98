"""An exponential moving average of the trained weights: steadier than any single step's, at no cost in use."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

# A fixed window of 100 steps lags behind a training of 200 to 300; of these a fifteenth is no worse than no average.
_SHARE_OF_STEPS = 1 / 15
_LONGEST_WINDOW = 100


def averaging_window(steps: int) -> float:
    """Over how many of a training's steps its weights are averaged: a longer window would lag behind a short one."""
    return min(max(1.0, steps * _SHARE_OF_STEPS), _LONGEST_WINDOW)


class AveragedWeights:
    """Follows the trainable parameters of a module; `window` is the number of steps that count most."""

    def __init__(self, module: nn.Module, window: float) -> None:
        self._decay = 1 - 1 / window
        self._parameters = {
            name: parameter
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }
        self._averages = {name: p.detach().clone() for name, p in self._parameters.items()}

    def update(self, step: int) -> None:
        """Take in the weights after `step` steps; the first ones count more, so the start is forgotten."""
        decay = min(self._decay, (1 + step) / (10 + step))
        current = [parameter.detach() for parameter in self._parameters.values()]
        torch._foreach_lerp_(list(self._averages.values()), current, 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within, the module has the averaged weights."""
        kept = {name: p.detach().clone() for name, p in self._parameters.items()}
        self._write(self._averages)
        try:
            yield
        finally:
            self._write(kept)

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        partial = path.with_name(f".{path.name}")
        save_file(self._averages, partial)
        partial.rename(path)

    def load(self, path: Path) -> None:
        for name, tensor in load_file(path).items():
            self._averages[name].copy_(tensor)

    def keep_for_good(self) -> None:
        """Give the module the averaged weights."""
        self._write(self._averages)

    def _write(self, values: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(values[name])
