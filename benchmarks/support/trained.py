"""The artefact under test: trained once by the platform's own run and kept, or one that is named."""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.support.texts import Row
from sentops_core.artifacts import fetch_artifact, put_folder
from sentops_core.artifacts.places import place_at
from sentops_core.domain.artifact import MANIFEST, digest_of_manifest
from sentops_core.domain.run import RunResult, RunSpec

LABELS = ("negative", "neutral", "positive")
ROOT = Path(__file__).resolve().parents[2]
_LAYOUT = 2  # of the kept folder; another number makes every machine train anew


@dataclass(frozen=True)
class ModelUnderTest:
    """`weights`: the same model as float32 in a transformers folder, for the reference server; None if not at hand."""

    uri: str
    digest: str
    folder: Path
    weights: Path | None


@dataclass(frozen=True)
class Recipe:
    """What is trained; equal recipes share the kept folder, whatever commit trained it."""

    base: str
    method: str
    hyperparameters: dict[str, Any]
    train: list[Row]
    holdout: list[Row]

    @property
    def key(self) -> str:
        content = [_LAYOUT, self.base, self.method, self.hyperparameters, self.train, self.holdout]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def trained(recipe: Recipe, cache: Path, *, anew: bool = False) -> ModelUnderTest:
    """From the cache, or trained now (minutes)."""
    folder = cache / "benchmarks" / recipe.key
    weights = folder / "weights"
    if anew:
        shutil.rmtree(folder, ignore_errors=True)
    kept = folder / "result.json"
    if kept.is_file():
        result = RunResult.model_validate_json(kept.read_bytes())
    else:
        result = _run(_spec(recipe, folder), folder / "run", weights)
        kept.write_text(result.model_dump_json())
    if result.artifact is None:
        raise SystemExit(f"the training published nothing: {result.message}")
    return named(result.artifact.storage_uri, result.artifact.digest, weights, cache)


def named(uri: str, digest: str | None, weights: Path | None, cache: Path) -> ModelUnderTest:
    """The artefact at this address; without a digest, the one that its manifest has."""
    if weights is not None and not (weights / "config.json").is_file():
        raise SystemExit(f"{weights} holds no config.json: it is no folder with a model's weights")
    if digest is None:
        content = place_at(uri).read_seal(MANIFEST)
        if content is None:
            raise SystemExit(f"{uri} holds no {MANIFEST}: it is no artefact")
        digest = digest_of_manifest(content)
    folder = fetch_artifact(uri, digest, cache / "benchmarks" / "fetched")
    return ModelUnderTest(uri, digest, folder, weights)


def _run(spec: RunSpec, folder: Path, weights: Path) -> RunResult:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "spec.json"
    path.write_text(spec.model_dump_json())
    command = [sys.executable, "-m", "benchmarks.support.training_run", str(weights)]
    command += ["--spec", str(path), "--out", str(folder)]
    with (folder / "log.txt").open("w") as log:
        ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, check=False)
    if not ended.stdout:
        raise SystemExit(f"the training did not start (log: {folder / 'log.txt'})")
    result = RunResult.model_validate_json(ended.stdout.splitlines()[-1])
    if ended.returncode:
        raise SystemExit(f"the training failed: {result.message} (log: {folder / 'log.txt'})")
    return result


def _spec(recipe: Recipe, folder: Path) -> RunSpec:
    dataset_uri, dataset_hash = _store(recipe, folder / "dataset")
    return RunSpec(
        training_job="bench-model",
        attempt=1,
        model_name="bench-model",
        base_model_uri=recipe.base,
        dataset_uri=dataset_uri,
        dataset_hash=dataset_hash,
        labels=LABELS,
        method=recipe.method,
        hyperparameters=recipe.hyperparameters,
        output_uri=(folder / "store").as_uri(),
    )


def _store(recipe: Recipe, folder: Path) -> tuple[str, str]:
    """The rows as a materialised dataset version."""
    draft = folder / "draft"
    draft.mkdir(parents=True, exist_ok=True)
    lines = []
    for split, rows in (("train", recipe.train), ("holdout", recipe.holdout)):
        hashes = [hashlib.sha256(text.encode()).hexdigest() for text, _ in rows]
        lines += [f"{h} {label} {split}" for h, (_, label) in zip(hashes, rows, strict=True)]
        table = {
            "content_hash": hashes,
            "text": [text for text, _ in rows],
            "label": [label for _, label in rows],
            "source": ["upload"] * len(rows),
            "language": ["en"] * len(rows),
            "weight": [1.0] * len(rows),
        }
        pq.write_table(pa.table(table), draft / f"{split}.parquet")
    content_hash = "sha256:" + hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
    about = {"name": "bench-model", "version": "v1", "content_hash": content_hash}
    (draft / "dataset.json").write_text(json.dumps(about))
    uri = (folder / "stored").as_uri()
    put_folder(draft, uri)
    return uri, content_hash
