"""What waits to be converged: each key at most once, one worker per key at a time, failures ever further apart.

The semantics are those of client-go's work queue, which level-triggered controllers share.
"""

import asyncio
from dataclasses import dataclass
from enum import StrEnum

_FIRST_RETRY_SECONDS = 0.5
_LAST_RETRY_SECONDS = 120.0


class KeyKind(StrEnum):
    TRAINING_JOB = "TrainingJob"
    MODEL = "Model"  # all ModelVersions of one model: they share what serves


@dataclass(frozen=True)
class Key:
    """What is converged as one."""

    kind: KeyKind
    namespace: str
    name: str


class WorkQueue:
    def __init__(self) -> None:
        self._waiting: dict[Key, None] = {}  # in order of arrival
        self._under_way: set[Key] = set()
        self._again: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._arrived = asyncio.Condition()
        self._notices: set[asyncio.Task[None]] = set()

    @property
    def depth(self) -> int:
        return len(self._waiting)

    def add(self, key: Key) -> None:
        """Converge it as soon as a worker is free; a key that is being converged gets another turn."""
        self._cancel_timer(key)
        if key in self._under_way:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting[key] = None
            notice = asyncio.get_running_loop().create_task(self._notify())
            self._notices.add(notice)
            notice.add_done_callback(self._notices.discard)

    def add_after(self, key: Key, seconds: float) -> None:
        """Look again then at the latest; an earlier appointment stands."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= loop.time() + seconds:
            return
        self._cancel_timer(key)
        self._timers[key] = loop.call_later(seconds, self.add, key)

    def retry(self, key: Key, *, at_least_seconds: float = 0) -> None:
        """After a failure: twice as long as the last time."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        pause = min(_FIRST_RETRY_SECONDS * 2 ** min(failures, 20), _LAST_RETRY_SECONDS)
        self.add_after(key, max(pause, at_least_seconds))

    def forget_failures(self, key: Key) -> None:
        self._failures.pop(key, None)

    async def take(self) -> Key:
        """The next key; `done` must follow."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: self._waiting)
            key = next(iter(self._waiting))
            del self._waiting[key]
            self._under_way.add(key)
            return key

    def done(self, key: Key) -> None:
        self._under_way.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    async def _notify(self) -> None:
        async with self._arrived:
            self._arrived.notify()

    def _cancel_timer(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
