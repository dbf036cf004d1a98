"""The load generator tells the truth about a server that stalls, refuses, or is too slow."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from benchmarks.support.load import (
    TOO_MANY_WAITING,
    UNANSWERED,
    Ask,
    Outcome,
    at_rate,
    by_clients,
)


@asynccontextmanager
async def a_server(answer: Callable[[int], Awaitable[int]]) -> AsyncIterator[Ask]:
    """How to ask a real server on loopback that answers number n with this status."""

    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=await answer(int(request.query["n"])))

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def ask(number: int) -> str | None:
            async with session.get(f"http://127.0.0.1:{port}/?n={number}") as response:
                return None if response.status == 200 else f"status {response.status}"

        yield ask
    await runner.cleanup()


async def test_a_stall_shows_in_all_requests_that_were_due_meanwhile() -> None:
    async def stalls_once(number: int) -> int:
        if number == 10:
            time.sleep(0.4)  # noqa: ASYNC251 - the whole server stands still
        return 200

    async with a_server(stalls_once) as ask:
        outcome = await at_rate(ask, rate=100, seconds=1)
    assert outcome.answered == 100
    assert outcome.percentile(0.99) > 0.3
    # About 40 were due in those 0.4 s; whoever measures from sending, one by one, sees a single slow one.
    assert sum(latency > 0.1 for latency in outcome.latencies) > 20


async def test_a_slow_answer_holds_the_others_back_neither_in_sending_nor_in_count() -> None:
    together, most = 0, 0

    async def slow(_: int) -> int:
        nonlocal together, most
        together += 1
        most = max(most, together)
        await asyncio.sleep(0.2)
        together -= 1
        return 200

    async with a_server(slow) as ask:
        outcome = await at_rate(ask, rate=100, seconds=0.5)
    assert outcome.answered == 50
    assert most > 10


async def test_a_refused_request_never_counts_as_quick() -> None:
    async def refuses_a_tenth(number: int) -> int:
        return 503 if number % 10 == 0 else 200

    async with a_server(refuses_a_tenth) as ask:
        outcome = await at_rate(ask, rate=200, seconds=0.5)
    assert outcome.problems == {"status 503": 10}
    assert math.isinf(outcome.percentile(0.99))
    assert not outcome.within(60)


async def test_what_is_never_answered_is_given_up_and_counted() -> None:
    async def never(_: int) -> str | None:
        await asyncio.Event().wait()
        return None

    outcome = await at_rate(never, rate=100, seconds=0.2, most_waiting=5, grace_seconds=0.05)
    assert outcome.problems == {TOO_MANY_WAITING: 15, UNANSWERED: 5}
    assert outcome.seconds < 2


async def test_a_limit_out_of_reach_ends_the_probe_early() -> None:
    async def too_slow(_: int) -> str | None:
        await asyncio.sleep(0.05)
        return None

    outcome = await at_rate(too_slow, rate=100, seconds=60, limit=0.01)
    assert outcome.cut_short
    assert outcome.seconds < 10
    assert not outcome.within(0.01)


async def test_clients_wait_for_their_answer_before_they_ask_again() -> None:
    together, most = 0, 0

    async def answer(_: int) -> str | None:
        nonlocal together, most
        together += 1
        most = max(most, together)
        await asyncio.sleep(0.005)
        together -= 1
        return None

    outcome = await by_clients(answer, clients=3, seconds=0.2)
    assert most == 3
    assert outcome.answered > 10
    assert outcome.percentile(0.5) >= 0.005


def test_the_percentile_is_a_latency_that_was_seen() -> None:
    outcome = Outcome(latencies=[number / 100 for number in range(100, 0, -1)])
    assert outcome.percentile(0.5) == 0.5
    assert outcome.percentile(0.99) == 0.99
    outcome.problems["status 503"] = 1
    assert outcome.percentile(0.99) == 1.0
    outcome.problems["status 503"] = 2
    assert math.isinf(outcome.percentile(0.99))
