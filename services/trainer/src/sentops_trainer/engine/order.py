"""The order in which several processes go through the rows."""

import math
from collections.abc import Callable, Iterator

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices


class OneOrderForAll(Sampler[int]):
    """Batches of similar length, in an order that every process draws alike, so that each takes its own share.

    Trainer's own sampler draws from each process's random state, and those are apart after the first dropout.
    """

    def __init__(
        self, lengths: list[int], batch_size: int, seed: int, epoch: Callable[[], float]
    ) -> None:
        self._lengths, self._batch_size, self._seed, self._epoch = lengths, batch_size, seed, epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        epoch = math.floor(self._epoch() + 1e-6)  # of a run that goes on in the middle of one, too
        generator = torch.Generator().manual_seed(self._seed + epoch)
        return iter(
            get_length_grouped_indices(  # type: ignore[no-untyped-call]
                self._lengths, self._batch_size, generator=generator
            )
        )
