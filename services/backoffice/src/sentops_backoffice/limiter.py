"""How often somebody may fail to log in."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from sentops_core.domain.errors import Overloaded
from sentops_core.http.i18n import Words

_MOST_KEYS = 10_000


@dataclass
class LoginLimiter:
    """Counts failures per key (an account name, an address) in a sliding window; a success forgets them."""

    failures: int = 10
    window: timedelta = timedelta(minutes=10)
    clock: Callable[[], float] = time.monotonic
    _failed: dict[str, list[float]] = field(default_factory=dict)

    def check(self, *keys: str) -> None:
        """Overloaded when one of the keys failed too often lately."""
        for key in keys:
            recent = self._recent(key)
            if len(recent) >= self.failures:
                wait = recent[0] + self.window.total_seconds() - self.clock()
                error = Overloaded(f"Too many failed logins: try again in {wait / 60:.0f} minutes.")
                error.retry_after = timedelta(seconds=max(wait, 1))
                raise error

    def failed(self, *keys: str) -> None:
        for key in keys:
            if key not in self._failed and len(self._failed) >= _MOST_KEYS:
                self._failed.pop(next(iter(self._failed)))
            self._failed[key] = [*self._recent(key), self.clock()]

    def succeeded(self, *keys: str) -> None:
        for key in keys:
            self._failed.pop(key, None)

    def _recent(self, key: str) -> list[float]:
        since = self.clock() - self.window.total_seconds()
        return [moment for moment in self._failed.get(key, []) if moment > since]


def slow_down(error: Overloaded, words: Words) -> str:
    """The limiter's error, for a page."""
    return words("login.slow_down", minutes=max(1, round(error.retry_after.total_seconds() / 60)))
