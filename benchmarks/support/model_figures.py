"""From what bench-model saw to its figures, and to which targets they meet."""

import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.support.operations import operations_per_text
from benchmarks.support.servers import ServerKind
from benchmarks.support.visit import Answer, Known, compared

EXACT, FAST, REFERENCE, KSERVE = "sentops", "sentops-fast", "reference", "kserve"


@dataclass
class Side:
    """One server, and everything seen of it, in order. `path`: of the bare engine to hold beside it, if it is ours."""

    kind: ServerKind
    path: str | None = None
    visits: list[dict[str, Any]] = field(default_factory=list)
    engine: list[dict[str, Any]] = field(default_factory=list)
    known: Known = field(default_factory=Known)

    @property
    def cpu(self) -> list[float]:
        """Seconds per 1,000 answers, by visit."""
        found: list[float] = [one["clients"]["cpu_seconds_per_1000"] for one in self.visits]
        if not all(found):
            answered = [one["clients"] for one in self.visits]
            raise SystemExit(f"{self.kind.name} answered nothing: {answered}")
        return found

    @property
    def sustained(self) -> float | None:
        found: float | None = self.visits[-1].get("open_loop", {}).get("sustained_per_second")
        return found

    @property
    def changed(self) -> dict[str, int]:
        changed = dict(self.known.changed)
        if self.engine:
            changed["from the bare engine"] = sum(
                _differing(self.known.answers, one["answers"]) for one in self.engine
            )
        return changed


@dataclass
class Measured:
    sides: dict[str, Side]
    peaks: list[dict[str, float]] = field(default_factory=list)

    @property
    def tokens(self) -> list[int]:
        found: list[int] = self.sides[EXACT].engine[0]["tokens"]
        return found


@dataclass(frozen=True)
class Target:
    """`value` is None where it was not measured."""

    name: str
    target: str
    value: float | None
    met: bool | None


def figures(graph: Path, measured: Measured, cores: int) -> dict[str, Any]:
    sides = measured.sides
    ours = [side for side in sides.values() if side.path is not None]
    changed = {side.kind.name: side.changed for side in ours}
    report: dict[str, Any] = {
        "cpu_seconds_per_1000": {name: spread(side.cpu) for name, side in sides.items()},
        "times_less_cpu": {
            f"{own.kind.name} than {name}": spread(ratios(sides[name].cpu, own.cpu), digits=2)
            for own in ours
            for name in (REFERENCE, KSERVE)
            if name in sides
        },
        "sustained_per_second": {name: side.sustained for name, side in sides.items()},
        "agreement_of_labels": {
            f"{EXACT} with {name}": _agreement(sides[EXACT].known, side.known)
            for name, side in sides.items()
            if name != EXACT
        },
        "changed_answers": {
            "total": sum(sum(one.values()) for one in changed.values()),
            **changed,
        },
        "failed_requests": sum(
            one["clients"]["failed"] for side in sides.values() for one in side.visits
        ),
        "engine": {side.kind.name: _engine(side) for side in ours},
        "limit": _limit(graph, measured, cores),
        "servers": {name: _server(side) for name, side in sides.items()},
    }
    if FAST in sides:
        paths = [one.get("path") for one in sides[FAST].known.answers]
        report["answered_by_fast_path"] = round(paths.count("fast") / len(paths), 3)
    report["targets"] = [vars(one) for one in targets(report)]
    return report


def targets(report: dict[str, Any]) -> list[Target]:
    """Of issue 7, for the model server."""
    cpu, rates = report["times_less_cpu"], report["sustained_per_second"]
    own = report["servers"][EXACT]
    bad = own["visits"][-1]
    overhead = report["engine"][EXACT]["overhead_of_the_server"]["median"]
    return [
        _at_least("times less CPU than the reference, exact", 6, _median(cpu, EXACT, REFERENCE)),
        _at_least("times less CPU than KServe, exact", 3, _median(cpu, EXACT, KSERVE)),
        _at_least("times less CPU than the reference, fast", 15, _median(cpu, FAST, REFERENCE)),
        _at_least("times the sustained rate, exact", 8, _rate(rates, EXACT)),
        _at_least("times the sustained rate, fast", 20, _rate(rates, FAST)),
        _at_most("CPU over the bare engine", 0.15, overhead),
        _at_least(
            "share of the int8 limit", 0.55, report["limit"]["share_by_cpu_if_all_were_int8"]
        ),
        _at_most("answers that change with load or batch", 0, report["changed_answers"]["total"]),
        _at_most("cold start, seconds", 2, own["cold_start_seconds"]["median"]),
        _at_most("memory, MB", 200, own["rss_mb"]["median"]),
        _at_most(
            "times p99 of short texts in bursts of long ones",
            2,
            bad.get("burst", {}).get("times_p99"),
        ),
        _at_most(
            "times the CPU, 100,000 characters against a truncated text",
            1.1,
            bad.get("long_text", {}).get("times_the_cpu"),
        ),
    ]


def _at_least(name: str, bound: float, value: float | None) -> Target:
    return Target(name, f">= {bound:g}", value, None if value is None else value >= bound)


def _at_most(name: str, bound: float, value: float | None) -> Target:
    return Target(name, f"<= {bound:g}", value, None if value is None else value <= bound)


def _median(ratios_found: dict[str, Any], own: str, other: str) -> float | None:
    found = ratios_found.get(f"{own} than {other}")
    return None if found is None else found["median"]


def _rate(rates: dict[str, float | None], own: str) -> float | None:
    ours, theirs = rates.get(own), rates.get(REFERENCE)
    return round(ours / theirs, 2) if ours and theirs else None


def _engine(side: Side) -> dict[str, Any]:
    engine = [one["cpu_seconds_per_1000"] for one in side.engine]
    each = [one["texts_per_second"] for one in side.engine]
    over = [1000 * (own - bare) for own, bare in zip(side.cpu, engine, strict=True)]
    return {
        "cpu_seconds_per_1000": spread(engine),
        "texts_per_second_on_one_core": spread(each, digits=1),
        "overhead_of_the_server": spread([one - 1 for one in ratios(side.cpu, engine)]),
        "overhead_us_per_answer": spread(over, digits=0),
    }


def _limit(graph: Path, measured: Measured, cores: int) -> dict[str, Any]:
    """What the matrix products of an answer take at this machine's peak, and how near the server comes to it."""
    visits, cpu = measured.sides[EXACT].visits, statistics.median(measured.sides[EXACT].cpu)
    peaks = {kind: max(one[kind] for one in measured.peaks) for kind in ("fp32", "int8")}
    operations = operations_per_text(graph, measured.tokens)
    at_peak = operations.seconds_at(peaks)  # all cores together
    at_int8 = (operations.fp32 + operations.int8) / (peaks["int8"] * 1e9)
    busy = statistics.median(one["clients"]["answers_per_second"] for one in visits)
    report = {
        "gemm_peak_gops": peaks | {"each": measured.peaks, "cores": cores},
        "mflop_per_answer": {
            "fp32": round(operations.fp32 / 1e6, 2),
            "int8": round(operations.int8 / 1e6, 2),
        },
        "answers_per_second_at_peak": round(1 / at_peak, 1),
        "answers_per_second_if_all_were_int8": round(1 / at_int8, 1),
        "share_by_cpu": round(1000 * at_peak * cores / cpu, 3),
        "share_by_cpu_if_all_were_int8": round(1000 * at_int8 * cores / cpu, 3),
        "share_by_clients": round(busy * at_peak, 3),
    }
    if sustained := measured.sides[EXACT].sustained:
        report["share_sustained"] = round(sustained * at_peak, 3)
    return report


def _server(side: Side) -> dict[str, Any]:
    def over(name: str, digits: int) -> dict[str, Any]:
        return spread([one[name] for one in side.visits], digits=digits)

    return {
        "cold_start_seconds": over("cold_start_seconds", 2),
        "rss_mb": over("rss_mb", 1),
        "open_loop": side.visits[-1].get("open_loop"),
        "visits": side.visits,
    }


def _agreement(ours: Known, other: Known) -> float:
    pairs = list(zip(ours.answers, other.answers, strict=True))
    agreeing: int = sum(own["label"] == one["label"] for own, one in pairs)
    return round(agreeing / len(pairs), 4)


def _differing(answers: list[Answer], others: list[Answer]) -> int:
    """In what both of them say; a server may say more than the engine."""
    found = 0
    for one, other in zip(answers, map(compared, others), strict=True):
        found += any(one[name] != other[name] for name in one.keys() & other.keys())
    return found


def ratios(of: list[float], to: list[float]) -> list[float]:
    return [one / other for one, other in zip(of, to, strict=True)]


def spread(values: list[float], *, digits: int = 3) -> dict[str, Any]:
    each = [round(value, digits) for value in values]
    return {"median": round(statistics.median(values), digits), "each": each}
