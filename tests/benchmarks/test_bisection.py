"""The search for the highest sustained rate ends, and ends near the truth."""

import pytest

from benchmarks.support.bisection import Found, highest_sustained


async def search(limit: float, guess: float, **options: float) -> Found:
    async def probe(rate: float) -> bool:
        return rate <= limit

    return await highest_sustained(probe, guess, **options)


@pytest.mark.parametrize("limit", [2.0, 38.0, 111.0, 371.0])
@pytest.mark.parametrize("guess", [30.0, 260.0])
async def test_the_truth_lies_within_the_precision(limit: float, guess: float) -> None:
    found = await search(limit, guess, most_probes=40)
    assert found.refused is not None
    assert found.sustained <= limit < found.refused
    assert found.refused / found.sustained <= 1.05


async def test_the_number_of_probes_is_bounded() -> None:
    found = await search(371.0, 1.0, most_probes=6)
    assert len(found.probes) == 6
    assert found == Found(32.0, None, tuple((2.0**power, True) for power in range(6)))


async def test_a_server_that_sustains_nothing_is_said_to_sustain_nothing() -> None:
    found = await search(0.0, 100.0)
    assert found.sustained == 0
    assert len(found.probes) == 10


async def test_a_rate_is_refused_only_when_it_fails_twice() -> None:
    seen: list[float] = []

    async def fails_at_first(rate: float) -> bool:
        seen.append(rate)
        return rate <= 50 and (rate != 40 or seen.count(40) == 2)

    found = await highest_sustained(fails_at_first, 40, most_probes=30)
    assert found.sustained == pytest.approx(50, rel=0.05)
    assert found.sustained <= 50
