"""One visit to a server under test: its cold start, its answers, what they cost, and what it sustains."""

import json
import math
import statistics
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from benchmarks.support.bad_input import burst, long_text
from benchmarks.support.bisection import highest_sustained
from benchmarks.support.load import Ask, Outcome, at_rate, by_clients
from benchmarks.support.machine import load_average
from benchmarks.support.process_tree import cpu_seconds, rss_bytes, until_idle
from benchmarks.support.servers import RunningServer, ServerKind, running

_WARM_UP_SECONDS = 1.0
_BATCH = 32
_TIMEOUT = aiohttp.ClientTimeout(total=30)
_PROBE_GRACE_SECONDS = 1.0
_MOST_PROBES = 12  # refused ones, of which there are most, end early
# What of an answer must not change; the rest says who gave it.
_COMPARED = ("label", "score", "scores", "truncated", "path")

Answer = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What every visit does. `limit`: seconds that p99 must stay under."""

    texts: list[str]
    cores: list[int]
    clients: int
    seconds: float
    limit: float


@dataclass
class Known:
    """What a server answered when it was first asked for each text alone, and how often it answered otherwise."""

    answers: list[Answer] = field(default_factory=list)
    changed: dict[str, int] = field(default_factory=dict)

    def compare(self, answers: list[Answer], when: str) -> None:
        differing = sum(one != other for one, other in zip(answers, self.answers, strict=True))
        self.changed[when] = self.changed.get(when, 0) + differing


@dataclass
class Client:
    """Asks for the texts in turn, each alone, and compares with what is known."""

    session: aiohttp.ClientSession
    kind: ServerKind
    texts: list[str]
    known: Known

    async def alone(self, number: int) -> Answer:
        return compared(await self.ask(self.texts[number % len(self.texts)]))

    async def ask(self, text: str) -> Answer:
        return self.kind.answer(await self._post(self.kind.question(text)))

    async def in_batches(self) -> list[Answer]:
        answers: list[Answer] = []
        for start in range(0, len(self.texts), _BATCH):
            found = await self._post({"texts": self.texts[start : start + _BATCH]})
            answers += [compared(one) for one in found["predictions"]]
        return answers

    async def under_load(self, number: int) -> str | None:
        """As `Ask`: a wrong answer is noted in `known`, a missing one is a problem."""
        try:
            answer = await self.alone(number)
        except aiohttp.ClientResponseError as error:
            return f"status {error.status}"
        except (aiohttp.ClientError, TimeoutError) as error:
            return type(error).__name__
        if answer != self.known.answers[number % len(self.texts)]:
            self.known.changed["under load"] = self.known.changed.get("under load", 0) + 1
        return None

    async def _post(self, body: dict[str, Any]) -> Any:
        async with self.session.post(self.kind.path, json=body, raise_for_status=True) as response:
            return json.loads(await response.read())


def compared(answer: Answer) -> Answer:
    return {name: answer[name] for name in _COMPARED if name in answer}


async def visit(
    kind: ServerKind, plan: Plan, known: Known, *, search: bool, bad_input: bool = False
) -> dict[str, Any]:
    """The figures of one visit; with `search` also the highest sustained rate, which takes minutes.

    `bad_input`: also what long texts do, to whoever sends them and to others.
    """
    load = {"before_start": load_average()}
    async with running(kind, plan.cores) as server, _session(server.url) as session:
        client = Client(session, kind, plan.texts, known)
        report: dict[str, Any] = {
            "cold_start_seconds": round(server.seconds_to_ready, 2),
            "rss_mb_when_ready": _megabytes(server.pid),
        }
        answers = [await client.alone(number) for number in range(len(plan.texts))]
        if known.answers:
            known.compare(answers, "after another start")
        known.answers = known.answers or answers
        if kind.takes_batches:
            known.compare(await client.in_batches(), "in a batch")
        await by_clients(client.under_load, plan.clients, min(_WARM_UP_SECONDS, plan.seconds))
        load["before_clients"] = load_average()
        report["clients"] = await _by_clients(client.under_load, server, plan)
        report["rss_mb"] = _megabytes(server.pid)
        if bad_input:
            rate = 0.3 * report["clients"]["answers_per_second"]
            report["long_text"] = await long_text(client.ask, server)
            report["burst"] = await burst(client.ask, plan.texts, rate, plan.seconds)
        if search:
            load["before_search"] = load_average()
            guess = 0.7 * report["clients"]["answers_per_second"]
            report["open_loop"] = await _search(client.under_load, server, plan, guess)
    return report | {"load_average": load}


async def _by_clients(ask: Ask, server: RunningServer, plan: Plan) -> dict[str, Any]:
    before = cpu_seconds(server.pid)
    outcome = await by_clients(ask, plan.clients, plan.seconds)
    used = cpu_seconds(server.pid) - before
    return figures_of(outcome, used)


async def _search(ask: Ask, server: RunningServer, plan: Plan, guess: float) -> dict[str, Any]:
    async def sustains(rate: float) -> bool:
        await until_idle(server.pid)
        outcome = await at_rate(
            ask, rate, plan.seconds, limit=plan.limit, grace_seconds=_PROBE_GRACE_SECONDS
        )
        return outcome.within(plan.limit)

    found = await highest_sustained(sustains, max(guess, 1.0), most_probes=_MOST_PROBES)
    report: dict[str, Any] = {
        "sustained_per_second": round(found.sustained, 1),
        "refused_per_second": None if found.refused is None else round(found.refused, 1),
        "probes": [[round(rate, 1), passed] for rate, passed in found.probes],
    }
    if found.sustained:
        await until_idle(server.pid)
        before = cpu_seconds(server.pid)
        outcome = await at_rate(ask, found.sustained / 2, plan.seconds)
        report["at_half"] = figures_of(outcome, cpu_seconds(server.pid) - before)
    return report


def figures_of(outcome: Outcome, cpu: float) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "answers": outcome.answered,
        "failed": outcome.failed,
        "answers_per_second": round(outcome.answered / outcome.seconds, 1),
        "cpu_seconds_per_1000": round(1000 * cpu / outcome.answered, 3)
        if outcome.answered
        else None,
        "p50_ms": milliseconds(outcome.percentile(0.5)),
        "p99_ms": milliseconds(outcome.percentile(0.99)),
    }
    if outcome.problems:
        figures["problems"] = dict(outcome.problems)
    if outcome.lags:  # large: the generator itself was late, and the latencies hold that too
        figures["median_lag_of_generator_ms"] = milliseconds(statistics.median(outcome.lags))
    return figures


def milliseconds(seconds: float) -> float | None:
    """None for infinite, which JSON cannot say."""
    return None if math.isinf(seconds) else round(1000 * seconds, 2)


def _megabytes(pid: int) -> float:
    return round(rss_bytes(pid) / 1e6, 1)


def _session(url: str) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=0)
    return aiohttp.ClientSession(url, connector=connector, timeout=_TIMEOUT)
