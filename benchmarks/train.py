"""What a training costs: FineTune beside transformers' Trainer with its defaults, the same base, rows and seeds.

The reference pads every text to `--max-length` and trains three epochs; its cost is that of its training alone,
and what it reaches is its macro-F1 on test rows that neither training sees. Ours is charged for all it does: the
first head, its evaluations, its checkpoints. Both are scored on the test rows as they go, off the clock. Per seed
the two run in turn (A B, B A, ...), each in a process of its own. The target is judged on the mean over the seeds
of ours after each of its evaluations: where it reaches the mean of the reference. CPU-seconds are the fairer
figure on a machine that has other things to do. Prints one JSON document, and on stderr what it does.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.support.amazon import Rows, amazon_rows, read_rows
from benchmarks.support.learning import Task
from benchmarks.support.machine import (
    about_machine,
    allowed_cores,
    load_average,
    revision,
    versions,
)
from sentops_trainer.base_models import cache_folder

ROOT = Path(__file__).resolve().parents[1]
BASE = "named://english-small"
ROWS = 900  # three seeds in a quarter of an hour on two cores
TARGET = 0.2
OURS, REFERENCE = "ours", "reference"
_PACKAGES = ("torch", "transformers", "accelerate", "tokenizers")


def main() -> int:
    options = _options()
    train, test, origin = _rows(options)
    epochs = {OURS: options.our_epochs, REFERENCE: options.epochs}
    seeds = []
    with tempfile.TemporaryDirectory(prefix="sentops-bench-train-") as name:
        for number, seed in enumerate(options.seeds):
            task = Task(options.base, seed, options.max_length, None, train, test)
            order = (REFERENCE, OURS) if number % 2 == 0 else (OURS, REFERENCE)
            runs = {
                who: _train(who, replace(task, epochs=epochs[who]), Path(name)) for who in order
            }
            seeds.append({"seed": seed, "load_average": load_average(), **runs})
    report = {
        "benchmark": "train",
        "revision": revision(),
        "machine": about_machine(allowed_cores()),
        "versions": versions(*_PACKAGES),
        "settings": {key: str(value) for key, value in vars(options).items() if value},
        "rows": {"from": origin, "train": len(train), "test": len(test)},
        **figures(seeds),
        "seeds": seeds,
    }
    print(json.dumps(report, indent=1))
    return 0


def figures(seeds: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds, the point where ours reaches the reference, and the targets."""
    ours = [one[OURS] for one in seeds]
    reference = [one[REFERENCE] for one in seeds]
    wanted = statistics.mean(one["macro_f1"] for one in reference)
    curve = mean_curve(ours)
    reached = next((point for point in curve if point["macro_f1"] >= wanted), None)
    ratios = {
        unit: None
        if reached is None
        else round(reached[unit] / statistics.mean(one[unit] for one in reference), 3)
        for unit in ("cpu_seconds", "seconds")
    }
    return {
        "targets": [
            {
                "name": f"{unit} to the reference's macro-F1, as a share of the reference's",
                "target": TARGET,
                "value": ratio,
                "met": ratio is not None and ratio <= TARGET,
            }
            for unit, ratio in ratios.items()
        ],
        "reached": reached,
        OURS: _means(ours),
        REFERENCE: _means(reference),
        "whole_run_of_ours_over_reference": _ratio(ours, reference, "cpu_seconds"),
        "mean_curve_of_ours": curve,
    }


def mean_curve(runs: list[dict[str, Any]]) -> list[dict[str, float]]:
    """The mean after the first evaluation, the second, and so on; a run that has ended stays what it became."""
    longest = max(len(one["curve"]) for one in runs)
    curves = [[*one["curve"], *[one] * (longest - len(one["curve"]))] for one in runs]
    names = ("cpu_seconds", "seconds", "macro_f1")
    return [
        {name: round(statistics.mean(point[name] for point in points), 4) for name in names}
        for points in zip(*curves, strict=True)
    ]


def _means(runs: list[dict[str, Any]]) -> dict[str, float]:
    names = ("macro_f1", "cpu_seconds", "seconds", "samples_per_cpu_second", "epochs")
    means = {name: round(statistics.mean(one[name] for one in runs), 4) for name in names}
    return means | {"peak_rss_mb": max(one["peak_rss_mb"] for one in runs)}


def _ratio(ours: list[dict[str, Any]], reference: list[dict[str, Any]], unit: str) -> float:
    spent, reference_spent = (sum(float(one[unit]) for one in runs) for runs in (ours, reference))
    return round(spent / reference_spent, 3)


def _train(who: str, task: Task, folder: Path) -> dict[str, Any]:
    path = folder / "task.json"
    task.write(path)
    command = [sys.executable, "-m", f"benchmarks.support.train_{who}", str(path)]
    started = time.monotonic()
    ended = subprocess.run(
        command, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise SystemExit(f"the training of {who} failed:\n{ended.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    seen = answer["epochs"] * len(task.train)
    answer["samples_per_cpu_second"] = round(seen / answer["cpu_seconds"], 1)
    print(
        f"seed {task.seed}, {who}: macro-F1 {answer['macro_f1']:.3f} for {answer['cpu_seconds']:.0f} CPU-seconds "
        f"({time.monotonic() - started:.0f} s with all around it)",
        file=sys.stderr,
    )
    return answer


def _environment() -> dict[str, str]:
    """The thread settings of the platform's run, for both."""
    threads = str(len(allowed_cores()))
    waiting = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0", "OMP_NUM_THREADS": threads}
    return {"TOKENIZERS_PARALLELISM": "false", **waiting, **os.environ}


def _rows(options: argparse.Namespace) -> tuple[Rows, Rows, str]:
    if options.train and options.test:
        train, test = read_rows(options.train), read_rows(options.test)
        origin = f"{options.train.name}, {options.test.name}"
    else:
        train, test = amazon_rows(cache_folder() / "benchmarks")
        origin = "Amazon review snippets, split by review"
    return _some(train, options.rows), _some(test, options.test_rows), origin


def _some(rows: Rows, count: int) -> Rows:
    """Always the same, from all over the file."""
    return sorted(rows, key=lambda row: hashlib.sha256(row[0].encode()).digest())[:count]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--base", default=BASE)
    parser.add_argument("--rows", type=int, default=ROWS, help="training rows, at most")
    parser.add_argument("--test-rows", type=int, default=100_000, help="test rows, at most")
    parser.add_argument("--train", type=Path, help="a CSV with text and label (and --test another)")
    parser.add_argument("--test", type=Path)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--epochs", type=int, help="the reference's; by default Trainer's own, 3")
    parser.add_argument("--our-epochs", type=int, help="by default FineTune's own")
    options = parser.parse_args()
    if (options.train is None) != (options.test is None):
        parser.error("--train and --test go together")
    return options


if __name__ == "__main__":
    sys.exit(main())
