"""What long texts do to a server: one of 100,000 characters, and bursts of them among short ones."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.support.load import Outcome, at_rate
from benchmarks.support.process_tree import cpu_seconds
from benchmarks.support.servers import RunningServer

AskText = Callable[[str], Awaitable[Any]]

_SENTENCE = "It arrived late, the box was open, and what was inside is not what the page promised. "
_TRUNCATED = 1_500  # characters; more than a window of 128 tokens holds
_LONGEST = 100_000
_ASKED = 40
_TURNS = 4
_BURST = 40
_BURSTS_EVERY = 1.5  # seconds


async def long_text(ask: AskText, server: RunningServer) -> dict[str, Any]:
    """CPU of a text of 100,000 characters beside one that is just truncated, in turn."""
    spent = {_TRUNCATED: 0.0, _LONGEST: 0.0}
    for turn in range(_TURNS):
        for length in spent if turn % 2 == 0 else reversed(spent):
            text = (_SENTENCE * (1 + length // len(_SENTENCE)))[:length]
            before = cpu_seconds(server.pid)
            for _ in range(_ASKED):
                await ask(text)
            spent[length] += cpu_seconds(server.pid) - before
    answers = _TURNS * _ASKED
    return {
        f"cpu_ms_of_{length}_characters": round(1000 * used / answers, 2)
        for length, used in spent.items()
    } | {"times_the_cpu": round(spent[_LONGEST] / spent[_TRUNCATED], 3)}


async def burst(ask: AskText, texts: list[str], rate: float, seconds: float) -> dict[str, Any]:
    """Latency of short texts at this rate alone, and while bursts of long texts arrive; in turn, twice."""
    alone, among = Outcome(), Outcome()
    longs = failed = 0
    for turn in range(2):
        for outcome in (alone, among) if turn == 0 else (among, alone):
            answered = _Bursts(ask)
            if outcome is among:
                answered.start()
            found = await at_rate(_asking(ask, texts), rate, seconds)
            ended = await answered.stop()
            longs, failed = longs + ended[0], failed + ended[1]
            outcome.latencies += found.latencies
            outcome.problems += found.problems
    p99 = [one.percentile(0.99) for one in (alone, among)]
    return {
        "short_texts_per_second": round(rate, 1),
        "long_texts_in_each_burst": _BURST,
        "long_texts_answered": longs,
        "long_texts_failed": failed,
        "p99_ms_alone": _milliseconds(p99[0]),
        "p99_ms_in_bursts": _milliseconds(p99[1]),
        "p50_ms_alone": _milliseconds(alone.percentile(0.5)),
        "p50_ms_in_bursts": _milliseconds(among.percentile(0.5)),
        "times_p99": None if math.inf in p99 else round(p99[1] / p99[0], 2),
    }


class _Bursts:
    """Long texts, many at once, again and again."""

    def __init__(self, ask: AskText) -> None:
        self._ask = ask
        self._sending: list[asyncio.Task[Any]] = []
        self._again: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._again = asyncio.create_task(self._send())

    async def stop(self) -> tuple[int, int]:
        """Long texts that were answered, and that were not."""
        if self._again is None:
            return 0, 0
        self._again.cancel()
        ended = await asyncio.gather(*self._sending, return_exceptions=True)
        failed = sum(isinstance(one, BaseException) for one in ended)
        return len(ended) - failed, failed

    async def _send(self) -> None:
        started = time.monotonic()
        for number in range(1000):
            await asyncio.sleep(max(0.0, started + number * _BURSTS_EVERY - time.monotonic()))
            # Each is another text: what answers from memory would answer at once.
            texts = [f"{number}.{one} {_SENTENCE * 20}" for one in range(_BURST)]
            self._sending += [asyncio.ensure_future(self._ask(text)) for text in texts]


def _asking(ask: AskText, texts: list[str]) -> Callable[[int], Awaitable[str | None]]:
    short = [text for text in texts if len(text) <= 300]

    async def asked(number: int) -> str | None:
        await ask(short[number % len(short)])
        return None

    return asked


def _milliseconds(seconds: float) -> float | None:
    return None if math.isinf(seconds) else round(1000 * seconds, 2)
