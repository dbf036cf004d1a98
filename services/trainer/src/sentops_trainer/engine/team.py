"""What the processes of one training tell each other; alone, every answer is one's own.

They must make the same calls in the same order: one that waits for an answer nobody gives waits for ever.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed

from sentops_trainer.failures import PeerLost
from sentops_trainer.ranks import Ranks

# Long enough for the first process to compute what the others wait for. One that dies is noticed at once.
_PATIENCE = timedelta(hours=6)
_Value = TypeVar("_Value")


class Team:
    """The processes of this run, once they have met."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks

    def from_first(self, compute: Callable[[], _Value]) -> _Value:
        """What the first process computes, in every process."""
        if not self.ranks.several:
            return compute()
        answer = [compute() if self.ranks.first else None]
        distributed.broadcast_object_list(answer, src=0, device=device())
        return answer[0]  # type: ignore[return-value]

    def anyone(self, yes: bool) -> bool:  # noqa: FBT001 - a vote
        """Whether any process says yes."""
        if not self.ranks.several:
            return yes
        vote = torch.tensor(int(yes), device=device())
        distributed.all_reduce(vote, op=distributed.ReduceOp.MAX)
        return bool(vote.item())

    def mean(self, value: Tensor) -> Tensor:
        """The mean over the processes of one number of each."""
        if not self.ranks.several:
            return value
        total = value.detach().clone()
        distributed.all_reduce(total)
        return total / self.ranks.total


def device() -> torch.device:
    """Where this process computes: its GPU of the node, or the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


@contextmanager
def assembled(ranks: Ranks) -> Iterator[Team]:
    """The team within; PeerLost when another process is gone, which is what then has to be looked at."""
    if not ranks.several:
        yield Team(ranks)
        return
    here = device()
    if here.type == "cuda":
        torch.cuda.set_device(here)
    distributed.init_process_group("nccl" if here.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Team(ranks)
    except RuntimeError as error:
        if _is_of_a_peer(error):
            raise PeerLost(
                "another process of this run ended before its time; its pod says why"
            ) from error
        raise
    distributed.destroy_process_group()


def _is_of_a_peer(error: RuntimeError) -> bool:
    """Torch has classes for what NCCL and the meeting place report, and only words for gloo."""
    return isinstance(error, distributed.DistError) or "gloo" in str(error)
