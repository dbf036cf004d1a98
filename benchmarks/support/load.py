"""Load on a server: open loop at a rate, or closed loop with a few clients in turn.

Open loop: requests are due at fixed moments whatever the server answers, and latency counts from the due moment.
A server that stalls so shows every request that had to wait, also those that a polite client would not have sent.
"""

import asyncio
import itertools
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

# Asks the server for the answer number n; returns what was wrong, or None.
Ask = Callable[[int], Awaitable[str | None]]

TOO_MANY_WAITING = "not sent: too many requests were waiting"
UNANSWERED = "unanswered when the time was over"


@dataclass
class Outcome:
    """What happened to the requests. Latencies in seconds; one that failed never ends."""

    latencies: list[float] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    lags: list[float] = field(default_factory=list)  # from due to sent: the generator's own
    seconds: float = 0.0
    cut_short: bool = False  # the limit was out of reach before all were sent

    @property
    def answered(self) -> int:
        return len(self.latencies)

    @property
    def failed(self) -> int:
        return self.problems.total()

    def percentile(self, share: float) -> float:
        """The latency that this share of all requests did not exceed; infinite if too many failed."""
        ordered = sorted(self.latencies)
        rank = math.ceil(share * (self.answered + self.failed)) - 1
        return ordered[max(rank, 0)] if rank < len(ordered) else math.inf

    def within(self, limit: float, share: float = 0.99) -> bool:
        return not self.failed and not self.cut_short and self.percentile(share) < limit


@dataclass
class _OpenLoop:
    ask: Ask
    limit: float
    allowed_late: float
    outcome: Outcome = field(default_factory=Outcome)
    late: int = 0

    async def send(self, number: int, due: float) -> None:
        self.outcome.lags.append(time.perf_counter() - due)
        problem = await self.ask(number)
        latency = time.perf_counter() - due
        if problem is None:
            self.outcome.latencies.append(latency)
        else:
            self.outcome.problems[problem] += 1
        self.late += problem is not None or latency >= self.limit

    @property
    def hopeless(self) -> bool:
        return self.late > self.allowed_late


async def at_rate(
    ask: Ask,
    rate: float,
    seconds: float,
    *,
    limit: float = math.inf,
    most_waiting: int = 1000,
    grace_seconds: float = 5.0,
) -> Outcome:
    """Requests at `rate` a second; stops early once p99 under `limit` (seconds) is out of reach.

    At most `most_waiting` are under way and nobody waits longer than `grace_seconds` after the last one: what is
    over counts as failed.
    """
    planned = max(1, round(rate * seconds))
    loop = _OpenLoop(ask, limit, allowed_late=0.01 * planned)
    outcome = loop.outcome
    waiting: set[asyncio.Task[None]] = set()
    started = time.perf_counter()
    for number in range(planned):
        due = started + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        if loop.hopeless and limit < math.inf:
            outcome.cut_short = True
            break
        if len(waiting) >= most_waiting:
            outcome.problems[TOO_MANY_WAITING] += 1
            loop.late += 1
            continue
        task = asyncio.create_task(loop.send(number, due))
        waiting.add(task)
        task.add_done_callback(waiting.discard)
    await _collect(set(waiting), outcome, 0.0 if outcome.cut_short else grace_seconds)
    outcome.seconds = time.perf_counter() - started
    return outcome


async def by_clients(ask: Ask, clients: int, seconds: float) -> Outcome:
    """Each client asks again as soon as it is answered; ends when the last answer is there."""
    outcome = Outcome()
    numbers = itertools.count()
    started = time.perf_counter()

    async def one_client() -> None:
        while (now := time.perf_counter()) - started < seconds:
            problem = await ask(next(numbers))
            if problem is None:
                outcome.latencies.append(time.perf_counter() - now)
            else:
                outcome.problems[problem] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(one_client())
    outcome.seconds = time.perf_counter() - started
    return outcome


async def _collect(
    waiting: set[asyncio.Task[None]], outcome: Outcome, grace_seconds: float
) -> None:
    if not waiting:
        return
    done, left = await asyncio.wait(waiting, timeout=grace_seconds)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    if left:
        outcome.problems[UNANSWERED] += len(left)
    for task in done:
        task.result()  # an error of ours is raised, not counted
