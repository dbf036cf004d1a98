"""SIGTERM asks a run to stop: at once, or, while it trains, after the checkpoint that the trainer writes."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from sentops_trainer.failures import Cancelled

_SENTENCE = "stopped on request; it goes on from its last checkpoint when it is started again"


class Stop:
    def __init__(self) -> None:
        self.requested = False
        self._someone_checks = False

    def listen(self) -> None:
        """From now on SIGTERM and SIGINT request the stop."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    @contextmanager
    def at_the_next_step(self) -> Iterator[None]:
        """Within, the body looks at `requested` and ends by itself; after it the stop is carried out."""
        self._someone_checks = True
        try:
            yield
        finally:
            self._someone_checks = False
        if self.requested:
            raise Cancelled(_SENTENCE)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
        if not self._someone_checks:
            raise Cancelled(_SENTENCE)
