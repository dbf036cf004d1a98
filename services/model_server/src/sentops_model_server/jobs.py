"""What waits for the workers: the texts of a request, what they will cost, and why they may not be taken."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sentops_core.domain.errors import Overloaded
from sentops_core.inference import Scored, Scorer

_CHARACTERS_PER_TOKEN = 4.5
_SPECIAL_TOKENS = 2


class QueueFull(Overloaded):
    """429 that says when there will be room."""

    def __init__(self, waiting: int, seconds: float) -> None:
        super().__init__(
            f"{waiting} texts are waiting already; try again after the time in the header 'retry-after'."
        )
        self.retry_after = timedelta(seconds=seconds)


class TooLate(Overloaded):
    """429: the answer would not be there, or was not, within the time that the client waits."""

    code = "too_late"

    def __init__(self, within: float, seconds: float, *, waited: bool) -> None:
        """`waited`: the time passed in the queue, else it was clear at once that it would not do."""
        why = "passed before its turn came" if waited else "is not enough for what waits already"
        super().__init__(
            f"The {1000 * within:.0f} ms that this request may take {why}; try again after the time in the header "
            "'retry-after', or allow more."
        )
        self.retry_after = timedelta(seconds=seconds)


@dataclass(eq=False, slots=True)
class Job:
    """The texts of one request. `future` is done when all are scored, one failed, or the job was given up."""

    scorer: Scorer
    texts: Sequence[str]
    future: asyncio.Future[list[Scored]]
    loop: asyncio.AbstractEventLoop
    submitted: float
    within: float | None  # seconds; nobody waits longer
    # The trace of the request, which the workers' threads do not know.
    exemplar: dict[str, str] | None
    answers: list[Scored | None]
    waiting: list[int]  # texts that no worker has taken, by lane
    waiting_tokens: list[float]
    unfinished: int
    cancelled: bool = False
    spent: list[tuple[float, float]] = field(default_factory=list)  # waiting and computing, by text

    def is_late(self, now: float) -> bool:
        return self.within is not None and now - self.submitted > self.within


def tokens_in(text: str, longest: int) -> float:
    """About how many the model will read of this text: what it costs, in a unit that only the machine can price."""
    return min(_SPECIAL_TOKENS + len(text) / _CHARACTERS_PER_TOKEN, longest)
