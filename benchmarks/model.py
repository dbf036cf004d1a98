"""What an answer costs: our model server beside the plain reference, the same model, the same two cores, one run.

Our server runs twice, by the full model alone (`exact`) and with the fast path where the artefact has one (`fast`);
KServe's Python server joins if it is installed somewhere. All are started and loaded in turn (A B C, C B A, ...),
each several times, so that a slow minute of the machine hits all. Texts are asked for one a request. CPU is that of
the server's whole process tree; the generator is not counted, but runs on the same cores where there are no others.
Prints one JSON document with every target and whether it was met, and on stderr what it does; exit code 1 if any
answer depended on load, batch or start, or a request failed.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
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
from benchmarks.support.model_figures import EXACT, FAST, Measured, Side, figures
from benchmarks.support.picture import picture
from benchmarks.support.servers import kserve_server, our_server, reference_server
from benchmarks.support.subject import add_options, subject
from benchmarks.support.trained import ROOT, ModelUnderTest
from benchmarks.support.visit import Plan, visit
from sentops_core.artifacts import read_manifest
from sentops_core.domain.artifact import CONFIG, METRICS, MODEL, InferenceConfig

_PACKAGES = ("onnxruntime", "tokenizers", "torch", "transformers", "fastapi", "uvicorn", "aiohttp")


def main() -> int:
    options = _options()
    cores = allowed_cores()[: options.cores]
    asked = subject(options, weights=options.weights, train_again=options.train_again)
    model, texts = asked.model, asked.texts
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
            "from": asked.origin,
            "tokens": round(statistics.mean(measured.tokens), 1),
            "characters": round(statistics.mean(map(len, texts)), 1),
        },
    }
    report |= figures(model.folder / MODEL, measured, len(cores))
    if options.picture:
        options.picture.write_text(picture(report))
    print(json.dumps(report, indent=1))
    return 1 if report["changed_answers"]["total"] or report["failed_requests"] else 0


async def _measure(model: ModelUnderTest, plan: Plan, options: argparse.Namespace) -> Measured:
    """A B C, C B A, ...; the bare engine after each turn, the machine's peak before the first and after the last."""
    sides = _sides(model, options)
    measured = Measured({side.kind.name: side for side in sides})
    measured.peaks.append(_peaks(plan))
    for turn in range(options.pairs):
        is_last = turn == options.pairs - 1
        for side in sides if turn % 2 == 0 else reversed(sides):
            _say(f"turn {turn + 1} of {options.pairs}: {side.kind.name}")
            search = is_last and not options.no_search and side.kind.name != "kserve"
            bad_input = is_last and side.kind.name == EXACT and not options.no_bad_input
            side.visits.append(
                await visit(side.kind, plan, side.known, search=search, bad_input=bad_input)
            )
        for side in sides:
            if side.path is not None:
                _say(f"turn {turn + 1} of {options.pairs}: the bare engine, {side.kind.name}")
                side.engine.append(_engine(model, plan, side.path))
    measured.peaks.append(_peaks(plan))
    return measured


def _sides(model: ModelUnderTest, options: argparse.Namespace) -> list[Side]:
    settings = dict(one.split("=", maxsplit=1) for one in options.setting)
    exact = settings | {"SENTOPS_MODEL_FAST_PATH": "false"}
    sides = [Side(our_server(model, exact, name=EXACT), path="full")]
    if _config(model).fast_path is not None:
        fast = settings | {"SENTOPS_MODEL_FAST_PATH": "true"}
        sides.append(Side(our_server(model, fast, name=FAST), path="fast"))
    if model.weights is not None:
        sides.append(Side(reference_server(model.weights)))
        if options.kserve_python:
            _say("the model as a float32 graph, for KServe")
            _child("benchmarks.support.plain_model", [str(model.weights)], [])
            sides.append(Side(kserve_server(options.kserve_python, model.weights)))
    return sides


def _about(model: ModelUnderTest) -> dict[str, Any]:
    manifest = read_manifest(model.folder)
    config = _config(model)
    about: dict[str, Any] = {
        "digest": model.digest,
        "base": manifest.base_model,
        "method": manifest.method,
        "created_at": manifest.created_at.isoformat(),
        "precision": config.precision,
        "labels": list(config.labels),
        "macro_f1": manifest.evaluation.macro_f1,
        "model_mb": round(sum(one.stat().st_size for one in model.folder.glob("model.*")) / 1e6, 1),
    }
    if config.fast_path is not None:
        about["fast_path"] = config.fast_path.model_dump()
    if (model.folder / METRICS).is_file():
        about["parity_at_export"] = json.loads((model.folder / METRICS).read_bytes()).get("parity")
    return about


def _config(model: ModelUnderTest) -> InferenceConfig:
    return InferenceConfig.model_validate_json((model.folder / CONFIG).read_bytes())


# Parts in processes of their own


def _engine(model: ModelUnderTest, plan: Plan, path: str) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(plan.texts, file)
        file.flush()
        load = load_average()
        arguments = [str(model.folder), file.name, str(plan.seconds), path]
        found = _child("benchmarks.support.engine_loop", arguments, plan.cores)
    return {**found, "load_average": load}


def _peaks(plan: Plan) -> dict[str, float]:
    _say("the machine's peak in matrix products")
    load = load_average()
    seconds = max(1.0, min(plan.seconds, 6.0))
    found = _child("benchmarks.support.gemm", ["--seconds", str(seconds)], plan.cores)
    return {**found, "load_average": load}


def _child(module: str, arguments: list[str], cores: list[int]) -> Any:
    with pinned(cores):
        ended = subprocess.run(
            [sys.executable, "-m", module, *arguments], cwd=ROOT, stdout=subprocess.PIPE, check=True
        )
    return json.loads(ended.stdout)


def _say(what: str) -> None:
    print(f"{what} (load average {load_average()})", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=3, help="turns: visits to each server")
    parser.add_argument("--seconds", type=float, default=6, help="of each load and each probe")
    parser.add_argument("--clients", type=int, default=4, help="under which CPU is measured")
    parser.add_argument("--limit-ms", type=float, default=100, help="for p99 in the search")
    parser.add_argument("--no-search", action="store_true", help="leave the sustained rate out")
    parser.add_argument("--cores", type=int, default=2, help="for the servers")
    add_options(parser)
    parser.add_argument(
        "--weights",
        type=Path,
        help="the artefact's float32 weights as plain_model.py saves them; else there is no reference",
    )
    parser.add_argument("--no-bad-input", action="store_true", help="leave long texts out")
    parser.add_argument(
        "--kserve-python",
        type=Path,
        help="an interpreter with kserve, onnxruntime and tokenizers, to measure KServe's server as well",
    )
    parser.add_argument("--picture", type=Path, help="also draw the result into this SVG")
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
