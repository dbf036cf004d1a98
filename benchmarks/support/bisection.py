"""The highest rate that a server sustains, by bisection with a bounded number of probes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

# Whether the server sustained this rate.
Probe = Callable[[float], Awaitable[bool]]


@dataclass(frozen=True)
class Found:
    """`sustained` is 0 when no probed rate was; `refused` is the lowest rate that was not, None if all were."""

    sustained: float
    refused: float | None
    probes: tuple[tuple[float, bool], ...]


async def highest_sustained(
    probe: Probe, guess: float, *, precision: float = 0.05, most_probes: int = 10
) -> Found:
    """Doubles or halves from `guess` until both sides are known, then halves the interval.

    A refused rate is tried once more, since a neighbour's moment can spoil one probe but no probe can flatter.
    """
    tried: list[tuple[float, bool]] = []
    sustained, refused, rate = 0.0, None, guess
    while len(tried) < most_probes:
        passed = await probe(rate)
        tried.append((rate, passed))
        if not passed and len(tried) < most_probes:
            passed = await probe(rate)
            tried.append((rate, passed))
        if passed:
            sustained = rate
        else:
            refused = rate
        if refused is None:
            rate = 2 * sustained
        elif sustained == 0:
            rate = refused / 2
        elif refused / sustained <= 1 + precision:
            break
        else:
            rate = (sustained + refused) / 2
    return Found(sustained, refused, tuple(tried))
