"""How much one client may ask: a token bucket each, forgotten when it is full again."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from sentops_core.domain.errors import Overloaded

_REMEMBERED = 50_000


class TooManyRequests(Overloaded):
    """This client has used what it may use for now."""

    code = "rate_limited"

    def __init__(self, message: str, *, wait_seconds: float) -> None:
        super().__init__(message)
        self.retry_after = timedelta(seconds=wait_seconds)


@dataclass(frozen=True)
class Rate:
    """`burst` at once, `per_second` in the long run."""

    burst: float
    per_second: float

    def times(self, factor: int) -> "Rate":
        return Rate(self.burst * factor, self.per_second * factor)


class RateLimiter:
    """One bucket per key; the longest idle ones are forgotten first."""

    def __init__(self, rate: Rate, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_for(self, key: str, amount: float) -> float:
        """Seconds until `amount` may be taken: 0 means now. More than a whole burst costs one burst."""
        return max(0.0, (min(amount, self._rate.burst) - self._level(key)) / self._rate.per_second)

    def take(self, key: str, amount: float) -> None:
        self._buckets[key] = (self._level(key) - min(amount, self._rate.burst), self._clock())
        self._buckets.move_to_end(key)
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)

    def _level(self, key: str) -> float:
        level, seen = self._buckets.get(key, (self._rate.burst, self._clock()))
        return min(self._rate.burst, level + (self._clock() - seen) * self._rate.per_second)


class Allowance:
    """The limits of one kind of request, per client and (wider) per address."""

    def __init__(
        self,
        rate: Rate,
        *,
        clients_per_address: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clients = RateLimiter(rate, clock=clock)
        self._addresses = RateLimiter(rate.times(clients_per_address), clock=clock)

    def spend(self, client: str, address: str, amount: float = 1) -> None:
        """Take `amount` from both buckets, or from none and raise TooManyRequests."""
        wait = max(
            self._clients.wait_for(client, amount), self._addresses.wait_for(address, amount)
        )
        if wait > 0:
            seconds = math.ceil(wait)
            unit = "second" if seconds == 1 else "seconds"
            raise TooManyRequests(
                f"That was a lot at once. Please wait {seconds} {unit} and go on.",
                wait_seconds=seconds,
            )
        self._clients.take(client, amount)
        self._addresses.take(address, amount)
