"""What an answer costs through web, kept for good, over one asked of the model server itself.

PostgreSQL, the model server and web run as users run them, on the same cores; the same load goes to the model server
directly and through web, in turn (A B, B A, ...). CPU is that of each program's whole process tree, until the last
row is in PostgreSQL; the generator, the routing and the line between web and PostgreSQL belong to the benchmark and
are not counted. Rows are counted by PostgreSQL in the end. Prints one JSON document, and on stderr what it does; exit
code 1 if a request failed or a row is missing.
"""

import argparse
import asyncio
import json
import statistics
import sys
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from benchmarks.support.bisection import highest_sustained
from benchmarks.support.load import Ask, Outcome, at_rate, by_clients
from benchmarks.support.machine import (
    about_machine,
    allowed_cores,
    load_average,
    revision,
    versions,
)
from benchmarks.support.process_tree import cpu_seconds, rss_bytes, until_idle
from benchmarks.support.stack import Stack, stack
from benchmarks.support.subject import add_options, subject
from benchmarks.support.trained import ModelUnderTest
from benchmarks.support.visit import milliseconds
from sentops_core.telemetry import configure_logging

TARGET = 0.25
_ASKERS = 64
_PACKAGES = ("fastapi", "uvicorn", "uvloop", "aiohttp", "asyncpg", "onnxruntime")
_TIMEOUT = aiohttp.ClientTimeout(total=30)
_AWAY_RATE, _SLOW_LINE_SECONDS = 20.0, 0.05
_MOST_PROBES = 8


@dataclass
class Asking:
    """The two ways to an answer; `acknowledged` is what PostgreSQL must hold in the end."""

    session: aiohttp.ClientSession
    texts: list[str]
    stack: Stack
    acknowledged: int = 0
    unacknowledged: int = 0  # may or may not be kept
    wrong: dict[str, int] = field(default_factory=dict)

    async def direct(self, number: int) -> str | None:
        return await self._post(f"{self.stack.model.url}/predict", number, {})

    async def through_web(self, number: int) -> str | None:
        asker = {"x-client-id": f"benchmark-{number % _ASKERS}"}
        problem = await self._post(f"{self.stack.web.url}/api/predict", number, asker)
        if problem is None:
            self.acknowledged += 1
        else:
            self.unacknowledged += 1
        return problem

    async def _post(self, url: str, number: int, headers: dict[str, str]) -> str | None:
        body = {"text": self.texts[number % len(self.texts)]}
        try:
            async with self.session.post(url, json=body, headers=headers) as response:
                answer = json.loads(await response.read())
                if response.status != 200:
                    return f"status {response.status} {answer.get('code')}"
        except (aiohttp.ClientError, TimeoutError) as error:
            return type(error).__name__
        return None if "label" in answer else "no label"


def main() -> int:
    options = _options()
    configure_logging("bench-web", "WARNING")
    cores = allowed_cores()[: options.cores]
    asked = subject(options)
    model, texts = asked.model, asked.texts
    settings = dict(one.split("=", maxsplit=1) for one in options.setting)
    report: dict[str, Any] = {
        "benchmark": "web",
        "revision": revision(),
        "machine": about_machine(cores),
        "versions": versions(*_PACKAGES),
        "settings": {name: str(value) for name, value in vars(options).items() if value},
        "model": {"digest": model.digest},
        "texts": len(texts),
    }
    report |= asyncio.run(_measure(model, texts, cores, settings, options))
    print(json.dumps(report, indent=1))
    failed = report["failed_requests"] or report["rows"]["lost"]
    return 1 if failed else 0


async def _measure(
    model: ModelUnderTest,
    texts: list[str],
    cores: list[int],
    settings: dict[str, str],
    options: argparse.Namespace,
) -> dict[str, Any]:
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        stack(model, cores, settings) as running,
        aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session,
    ):
        asking = Asking(session, texts, running)
        for ask in (asking.direct, asking.through_web):
            await by_clients(ask, 8, min(2.0, options.seconds))
        await running.until_drained()
        report: dict[str, Any] = {"cpu": {}}
        pairs: list[dict[str, Any]] = []
        for clients in options.clients:
            pairs = await _pairs(asking, clients, options)
            report["cpu"][f"{clients} clients"] = _summary(pairs)
            report["cpu"][f"{clients} clients"]["pairs"] = pairs
        report["at_rates"] = [await _at_rate(asking, rate, options) for rate in options.rates]
        if not options.no_search:
            report["sustained"] = await _searches(asking, options)
        if not options.no_troubles:
            report["troubles"] = await _troubles(asking, options)
        await running.until_drained()
        kept = await running.rows()
        report["rss_mb"] = {
            "web": round(rss_bytes(running.web.pid) / 1e6, 1),
            "model": round(rss_bytes(running.model.pid) / 1e6, 1),
        }
        report["rows"] = {
            "acknowledged": asking.acknowledged,
            "in_postgres": kept,
            "lost": max(0, asking.acknowledged - kept),
        }
        report["failed_requests"] = sum(_failed(report))
    return report


async def _pairs(asking: Asking, clients: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    ways: list[tuple[str, Ask]] = [("direct", asking.direct), ("web", asking.through_web)]
    pairs = []
    for number in range(options.pairs):
        pair: dict[str, Any] = {"load_average": load_average()}
        for name, ask in ways if number % 2 == 0 else reversed(ways):
            _say(f"{clients} clients, pair {number + 1} of {options.pairs}: {name}")
            before = _cpu(asking.stack)
            outcome = await by_clients(ask, clients, options.seconds)
            if name == "web":
                await asking.stack.until_drained()
            pair[name] = _figures(outcome, before, _cpu(asking.stack), name)
        direct, through = pair["direct"]["cpu_ms_per_answer"], pair["web"]["cpu_ms_per_answer"]
        pair["overhead"] = round(through["total"] / direct["total"] - 1, 3)
        pair["web_and_postgres_over_direct"] = round(
            (through["web"] + through["postgres"]) / direct["total"], 3
        )
        pairs.append(pair)
    return pairs


async def _at_rate(asking: Asking, rate: float, options: argparse.Namespace) -> dict[str, Any]:
    figures: dict[str, Any] = {"rate": rate}
    for name, ask in (("direct", asking.direct), ("web", asking.through_web)):
        _say(f"{rate:g} requests a second: {name}")
        figures[name] = _latency(await at_rate(ask, rate, options.seconds))
    return figures


async def _searches(asking: Asking, options: argparse.Namespace) -> dict[str, Any]:
    limit = options.limit_ms / 1000
    report: dict[str, Any] = {}
    for name, ask in (("direct", asking.direct), ("web", asking.through_web)):
        _say(f"the highest rate at p99 < {options.limit_ms:g} ms: {name}")
        guess = 0.7 * (await by_clients(ask, 8, 2.0)).answered / 2.0

        async def sustains(rate: float, ask: Ask = ask) -> bool:
            await until_idle(asking.stack.model.pid)
            await until_idle(asking.stack.web.pid)
            outcome = await at_rate(ask, rate, options.seconds, limit=limit, grace_seconds=1.0)
            return outcome.within(limit)

        found = await highest_sustained(sustains, max(guess, 1.0), most_probes=_MOST_PROBES)
        report[name] = {
            "sustained_per_second": round(found.sustained, 1),
            "probes": [[round(rate, 1), passed] for rate, passed in found.probes],
        }
    return report


async def _troubles(asking: Asking, options: argparse.Namespace) -> dict[str, Any]:
    """Answers go on while the database is slow or away, and the rows come after."""
    line = asking.stack.line
    report: dict[str, Any] = {}
    _say("a slow database")
    line.delay = _SLOW_LINE_SECONDS
    outcome = await at_rate(asking.through_web, _AWAY_RATE, options.seconds)
    line.delay = 0.0
    report[f"database at {1000 * _SLOW_LINE_SECONDS:g} ms"] = _latency(outcome)
    _say("a database that is away")
    line.break_off()
    outcome = await at_rate(asking.through_web, _AWAY_RATE, options.seconds)
    line.cut = False
    report["database away"] = _latency(outcome)
    return report


def _cpu(stack: Stack) -> dict[str, float]:
    return {
        "web": cpu_seconds(stack.web.pid),
        "model": cpu_seconds(stack.model.pid),
        "postgres": cpu_seconds(stack.postgres_pid),
    }


def _figures(
    outcome: Outcome, before: dict[str, float], after: dict[str, float], way: str
) -> dict[str, Any]:
    if not outcome.answered:
        raise SystemExit(f"nothing was answered: {dict(outcome.problems)}")
    counted = ("model",) if way == "direct" else ("web", "model", "postgres")
    cost = {one: 1000 * (after[one] - before[one]) / outcome.answered for one in counted}
    return {
        "cpu_ms_per_answer": {name: round(value, 3) for name, value in cost.items()}
        | {"total": round(sum(cost.values()), 3)},
        **_latency(outcome),
    }


def _latency(outcome: Outcome) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "answers": outcome.answered,
        "failed": outcome.failed,
        "answers_per_second": round(outcome.answered / outcome.seconds, 1),
        "p50_ms": milliseconds(outcome.percentile(0.5)),
        "p99_ms": milliseconds(outcome.percentile(0.99)),
    }
    if outcome.problems:
        figures["problems"] = dict(outcome.problems)
    return figures


def _summary(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    """CPU-seconds per 1,000 answers are CPU-milliseconds per answer."""

    def median(way: str, part: str) -> float:
        each: list[float] = [one[way]["cpu_ms_per_answer"][part] for one in pairs]
        return round(statistics.median(each), 3)

    overhead = round(statistics.median(one["overhead"] for one in pairs), 3)
    return {
        "cpu_seconds_per_1000": {
            "direct": median("direct", "total"),
            **{part: median("web", part) for part in ("web", "model", "postgres", "total")},
        },
        "overhead": overhead,
        "target": TARGET,
        "within_target": overhead <= TARGET,
        "web_and_postgres_over_direct": round(
            statistics.median(one["web_and_postgres_over_direct"] for one in pairs), 3
        ),
    }


def _failed(report: Any) -> list[int]:
    """Every `failed` in what was measured; the search's probes may fail, and are not among them."""
    if isinstance(report, dict):
        own = [report["failed"]] if "failed" in report else []
        return own + [count for value in report.values() for count in _failed(value)]
    if isinstance(report, list):
        return [count for value in report for count in _failed(value)]
    return []


def _say(what: str) -> None:
    print(f"{what} (load average {load_average()})", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--pairs", type=int, default=3, help="visits each way, per number of clients"
    )
    parser.add_argument("--seconds", type=float, default=5, help="of each load and each probe")
    parser.add_argument("--clients", type=int, nargs="+", default=[8, 1, 32])
    parser.add_argument("--rates", type=float, nargs="*", default=[20.0, 60.0], help="a second")
    parser.add_argument("--limit-ms", type=float, default=100, help="for p99 in the search")
    parser.add_argument("--no-search", action="store_true", help="leave the sustained rates out")
    parser.add_argument(
        "--no-troubles", action="store_true", help="leave the slow and the missing database out"
    )
    parser.add_argument("--cores", type=int, default=2, help="for the programs")
    add_options(parser)
    parser.add_argument(
        "--setting",
        action="append",
        default=["SENTOPS_MODEL_FAST_PATH=false", "SENTOPS_MODEL_ANSWER_CACHE_ENTRIES=0"],
        metavar="NAME=VALUE",
        help="for the model server's environment",
    )
    options = parser.parse_args()
    if options.pairs < 1 or options.seconds <= 0 or min(options.clients) < 1:
        parser.error("--pairs, --seconds and --clients must be positive")
    if wrong := [one for one in options.setting if "=" not in one]:
        parser.error(f"--setting takes NAME=VALUE, not {wrong[0]}")
    return options


if __name__ == "__main__":
    sys.exit(main())
