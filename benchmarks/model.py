"""What an answer costs: our model server beside the plain reference, the same model, the same two cores, one run.

Both servers are started and loaded in turn (A B, B A, ...), each several times, so that a slow minute of the
machine hits both. Texts are asked for one a request. CPU is that of the server's whole process tree; the generator
is not counted, but runs on the same cores where there are no others. Prints one JSON document, and on stderr what
it does; exit code 1 if any answer depended on load, batch or start, or a request failed.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.support.machine import (
    about_machine,
    allowed_cores,
    load_average,
    pinned,
    revision,
    versions,
)
from benchmarks.support.operations import operations_per_text
from benchmarks.support.servers import our_server, reference_server
from benchmarks.support.texts import Row, made_up_reviews, sample_rows, texts_of
from benchmarks.support.trained import ROOT, ModelUnderTest, Recipe, named, trained
from benchmarks.support.visit import Answer, Known, Plan, compared, visit
from sentops_core.artifacts import read_manifest
from sentops_core.domain.artifact import CONFIG, METRICS, MODEL, InferenceConfig
from sentops_trainer.base_models import cache_folder

BASE = "named://english-small"
TRAINED_ROWS = 900
HELD_OUT_ROWS = 300
HYPERPARAMETERS = {"epochs": 2, "max_length": 128, "seed": 1}
_PACKAGES = ("onnxruntime", "tokenizers", "torch", "transformers", "fastapi", "uvicorn", "aiohttp")


@dataclass
class Measured:
    """Everything that was seen, in order."""

    ours: list[dict[str, Any]] = field(default_factory=list)
    reference: list[dict[str, Any]] = field(default_factory=list)
    engine: list[dict[str, Any]] = field(default_factory=list)
    peaks: list[dict[str, float]] = field(default_factory=list)
    our_answers: Known = field(default_factory=Known)
    reference_answers: Known = field(default_factory=Known)


def main() -> int:
    options = _options()
    cores = allowed_cores()[: options.cores]
    needs_rows = not (options.artifact and options.texts)
    rows = sample_rows(cache_folder() / "benchmarks") if needs_rows else []
    model = _model(options, rows)
    texts, origin = _texts(options, rows)
    plan = Plan(texts, cores, options.clients, options.seconds, options.limit_ms / 1000)
    measured = asyncio.run(_measure(model, plan, options))
    report: dict[str, Any] = {
        "benchmark": "model",
        "revision": revision(),
        "machine": about_machine(cores),
        "versions": versions(*_PACKAGES),
        "settings": {name: str(value) for name, value in vars(options).items() if value},
        "model": _about(model),
        "texts": {
            "count": len(texts),
            "from": origin,
            "tokens": round(statistics.mean(measured.engine[0]["tokens"]), 1),
            "characters": round(statistics.mean(map(len, texts)), 1),
        },
    }
    report |= _figures(model, measured, len(cores))
    print(json.dumps(report, indent=1))
    return 1 if report["changed_answers"]["sentops"]["total"] or report["failed_requests"] else 0


async def _measure(model: ModelUnderTest, plan: Plan, options: argparse.Namespace) -> Measured:
    """A B, B A, ...; the bare engine after each pair, the machine's peak before the first and after the last."""
    measured = Measured()
    ours = our_server(model, dict(one.split("=", maxsplit=1) for one in options.setting))
    turns = [(ours, measured.ours, measured.our_answers)]
    if model.weights is not None:
        reference = reference_server(model.weights)
        turns.append((reference, measured.reference, measured.reference_answers))
    measured.peaks.append(_peaks(plan))
    for pair in range(options.pairs):
        for kind, visits, known in turns if pair % 2 == 0 else reversed(turns):
            _say(f"pair {pair + 1} of {options.pairs}: {kind.name}")
            last = pair == options.pairs - 1
            visits.append(await visit(kind, plan, known, search=last and not options.no_search))
        _say(f"pair {pair + 1} of {options.pairs}: the bare engine")
        measured.engine.append(_engine(model, plan))
    measured.peaks.append(_peaks(plan))
    return measured


def _figures(model: ModelUnderTest, measured: Measured, cores: int) -> dict[str, Any]:
    ours = _cpu(measured.ours)
    engine = [one["cpu_seconds_per_1000"] for one in measured.engine]
    overheads = [own / bare - 1 for own, bare in zip(ours, engine, strict=True)]
    report: dict[str, Any] = {
        "cpu_seconds_per_1000": _spread(ours),
        "beside_reference": _beside_reference(measured) if measured.reference else None,
        "sentops": _server(measured.ours),
        "reference": _server(measured.reference) if measured.reference else None,
        "changed_answers": {
            "sentops": _changed(measured.our_answers, measured.engine),
            "reference": _changed(measured.reference_answers, []),
        },
        "failed_requests": sum(
            one["clients"]["failed"] for one in (*measured.ours, *measured.reference)
        ),
        "engine": {
            "cpu_seconds_per_1000": _spread(engine),
            "texts_per_second_on_one_core": _spread(
                [one["texts_per_second"] for one in measured.engine], digits=1
            ),
            "overhead_of_the_server": _spread(overheads),
        },
        "limit": _limit(model, measured, cores),
    }
    return report


def _beside_reference(measured: Measured) -> dict[str, Any]:
    ours, reference = _cpu(measured.ours), _cpu(measured.reference)
    ratios = [theirs / own for theirs, own in zip(reference, ours, strict=True)]
    report: dict[str, Any] = {
        "cpu_seconds_per_1000_of_reference": _spread(reference),
        "times_less_cpu": _spread(ratios, digits=2),
        "agreement_of_labels": _agreement(measured.our_answers, measured.reference_answers),
    }
    rates = [
        visits[-1].get("open_loop", {}).get("sustained_per_second", 0.0)
        for visits in (measured.ours, measured.reference)
    ]
    if all(rates):
        report["times_the_sustained_rate"] = round(rates[0] / rates[1], 2)
    return report


def _limit(model: ModelUnderTest, measured: Measured, cores: int) -> dict[str, Any]:
    """What the matrix products of an answer take at this machine's peak, and how near the server comes to it."""
    peaks = {kind: max(one[kind] for one in measured.peaks) for kind in ("fp32", "int8")}
    operations = operations_per_text(model.folder / MODEL, measured.engine[0]["tokens"])
    at_peak = operations.seconds_at(peaks)  # all cores together
    at_int8 = (operations.fp32 + operations.int8) / (peaks["int8"] * 1e9)
    cpu = statistics.median(_cpu(measured.ours))
    busy = statistics.median(one["clients"]["answers_per_second"] for one in measured.ours)
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
    if searched := measured.ours[-1].get("open_loop"):
        report["share_sustained"] = round(searched["sustained_per_second"] * at_peak, 3)
    return report


def _server(visits: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "cold_start_seconds": _spread([one["cold_start_seconds"] for one in visits], digits=2),
        "rss_mb": _spread([one["rss_mb"] for one in visits], digits=1),
        "open_loop": visits[-1].get("open_loop"),
        "visits": visits,
    }


def _agreement(ours: Known, reference: Known) -> float:
    pairs = list(zip(ours.answers, reference.answers, strict=True))
    agreeing: int = sum(own["label"] == other["label"] for own, other in pairs)
    return round(agreeing / len(pairs), 4)


def _changed(known: Known, engine: list[dict[str, Any]]) -> dict[str, int]:
    changed = dict(known.changed)
    if engine:
        changed["from the bare engine"] = sum(
            _differing(known.answers, one["answers"]) for one in engine
        )
    return {"total": sum(changed.values())} | changed


def _differing(answers: list[Answer], others: list[Answer]) -> int:
    """In what both of them say; a server may say more than the engine."""
    found = 0
    for one, other in zip(answers, map(compared, others), strict=True):
        found += any(one[name] != other[name] for name in one.keys() & other.keys())
    return found


def _cpu(visits: list[dict[str, Any]]) -> list[float]:
    found: list[float] = [one["clients"]["cpu_seconds_per_1000"] for one in visits]
    if not all(found):
        raise SystemExit(f"a server answered nothing: {[one['clients'] for one in visits]}")
    return found


def _spread(values: list[float], *, digits: int = 3) -> dict[str, Any]:
    each = [round(value, digits) for value in values]
    return {"median": round(statistics.median(values), digits), "each": each}


# The model and its texts


def _model(options: argparse.Namespace, rows: list[Row]) -> ModelUnderTest:
    if options.artifact:
        return named(options.artifact, options.digest, options.weights, cache_folder())
    if not rows:
        raise SystemExit(
            "The sample data to train on cannot be had from the package index; name a trained model with "
            "--artifact."
        )
    end = TRAINED_ROWS + HELD_OUT_ROWS
    recipe = Recipe(
        BASE,
        "FineTune",
        HYPERPARAMETERS,
        train=rows[HELD_OUT_ROWS:end],
        holdout=rows[:HELD_OUT_ROWS],
    )
    _say(f"the model: {BASE} on {TRAINED_ROWS} rows, kept as benchmarks/{recipe.key} in the cache")
    return trained(recipe, cache_folder(), anew=options.train_again)


def _texts(options: argparse.Namespace, rows: list[Row]) -> tuple[list[str], str]:
    if options.texts:
        return texts_of(options.texts)[: options.count], options.texts.name
    unseen = [text for text, _ in rows[TRAINED_ROWS + HELD_OUT_ROWS :]]
    if unseen:
        return unseen[: options.count], "review snippets of the sample data"
    return made_up_reviews(options.count), "made up"


def _about(model: ModelUnderTest) -> dict[str, Any]:
    manifest = read_manifest(model.folder)
    config = InferenceConfig.model_validate_json((model.folder / CONFIG).read_bytes())
    about: dict[str, Any] = {
        "digest": model.digest,
        "base": manifest.base_model,
        "method": manifest.method,
        "created_at": manifest.created_at.isoformat(),
        "precision": config.precision,
        "labels": list(config.labels),
        "macro_f1": manifest.evaluation.macro_f1,
        "model_mb": round((model.folder / MODEL).stat().st_size / 1e6, 1),
    }
    if (model.folder / METRICS).is_file():
        about["parity_at_export"] = json.loads((model.folder / METRICS).read_bytes()).get("parity")
    return about


# Parts in processes of their own


def _engine(model: ModelUnderTest, plan: Plan) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(plan.texts, file)
        file.flush()
        load = load_average()
        arguments = [str(model.folder), file.name, str(plan.seconds)]
        found = _child("benchmarks.support.engine_loop", arguments, plan.cores)
    return found | {"load_average": load}


def _peaks(plan: Plan) -> dict[str, float]:
    _say("the machine's peak in matrix products")
    load = load_average()
    seconds = max(1.0, min(plan.seconds, 6.0))
    found = _child("benchmarks.support.gemm", ["--seconds", str(seconds)], plan.cores)
    return found | {"load_average": load}


def _child(module: str, arguments: list[str], cores: list[int]) -> dict[str, Any]:
    with pinned(cores):
        ended = subprocess.run(
            [sys.executable, "-m", module, *arguments], cwd=ROOT, stdout=subprocess.PIPE, check=True
        )
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def _say(what: str) -> None:
    print(f"{what} (load average {load_average()})", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=3, help="visits to each server")
    parser.add_argument("--seconds", type=float, default=8, help="of each load and each probe")
    parser.add_argument("--clients", type=int, default=4, help="under which CPU is measured")
    parser.add_argument("--limit-ms", type=float, default=100, help="for p99 in the search")
    parser.add_argument("--no-search", action="store_true", help="leave the sustained rate out")
    parser.add_argument("--cores", type=int, default=2, help="for the servers")
    parser.add_argument("--texts", type=Path, help="a CSV with a column 'text', or lines")
    parser.add_argument("--count", type=int, default=300, help="of different texts, at most")
    parser.add_argument("--artifact", metavar="URI", help="measure this one instead")
    parser.add_argument("--digest", help="of the artefact; else what its manifest says")
    parser.add_argument(
        "--weights",
        type=Path,
        help="the artefact's float32 weights as plain_model.py saves them; else there is no reference",
    )
    parser.add_argument("--train-again", action="store_true", help="do not use the kept model")
    parser.add_argument(
        "--setting",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="for our server's environment, say SENTOPS_MODEL_WORKERS=1",
    )
    options = parser.parse_args()
    if (options.digest or options.weights) and not options.artifact:
        parser.error("--digest and --weights belong to an --artifact")
    if options.pairs < 1 or options.seconds <= 0:
        parser.error("--pairs and --seconds must be positive")
    if wrong := [one for one in options.setting if "=" not in one]:
        parser.error(f"--setting takes NAME=VALUE, not {wrong[0]}")
    return options


if __name__ == "__main__":
    sys.exit(main())
