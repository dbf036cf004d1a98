"""Datasets, specs and processes for tests of the training run."""

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sentops_core.artifacts import put_folder
from sentops_core.domain.run import RunResult, RunSpec
from tests.support.tiny_base import FILLERS, SENTIMENT_WORDS

_ITALIAN = {"il", "prodotto", "era", "pessimo", "normale", "ottimo"}
LABELS = ("negative", "neutral", "positive")
FAST = {"seed": 1, "epochs": 3, "learning_rate": "5e-3", "batch_size": 16}


def sentences(count: int, *, seed: int, labels: Iterable[str] = LABELS) -> list[tuple[str, str]]:
    """Distinct (text, label) pairs: some filler, and one word that says the label."""
    generator = random.Random(seed)
    labels = list(labels)
    made: dict[str, str] = {}
    while len(made) < count:
        label = labels[len(made) % len(labels)]
        words = generator.choices(FILLERS, k=generator.randint(2, 8))
        words.insert(generator.randrange(len(words) + 1), generator.choice(SENTIMENT_WORDS[label]))
        made.setdefault(" ".join(words), label)
    return list(made.items())


@dataclass(frozen=True)
class StoredDataset:
    uri: str
    content_hash: str


def store_dataset(
    folder: Path, train: list[tuple[str, str]], holdout: list[tuple[str, str]]
) -> StoredDataset:
    """A materialised dataset version, as the datasets module writes them."""
    draft = folder / "draft"
    draft.mkdir(parents=True)
    lines = []
    for split, rows in (("train", train), ("holdout", holdout)):
        hashes = [hashlib.sha256(text.encode()).hexdigest() for text, _ in rows]
        lines += [f"{h} {label} {split}" for h, (_, label) in zip(hashes, rows, strict=True)]
        table = {
            "content_hash": pa.array(hashes, pa.string()),
            "text": pa.array([text for text, _ in rows], pa.string()),
            "label": pa.array([label for _, label in rows], pa.string()),
            "source": pa.array(["upload"] * len(rows), pa.string()),
            "language": pa.array(
                ["it" if _ITALIAN & set(text.split()) else "en" for text, _ in rows], pa.string()
            ),
            "weight": pa.array([1.0] * len(rows), pa.float64()),
        }
        pq.write_table(pa.table(table), draft / f"{split}.parquet")
    content_hash = "sha256:" + hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
    about = {
        "name": "tiny",
        "version": "v1",
        "labels": list(LABELS),
        "content_hash": content_hash,
        "holdout_hash": content_hash,
        "rows_train": len(train),
        "rows_holdout": len(holdout),
        "label_counts": {},
        "origin": "made for a test",
        "licence": "MIT",
    }
    (draft / "dataset.json").write_text(json.dumps(about))
    uri = (folder / "stored").as_uri()
    put_folder(draft, uri)
    return StoredDataset(uri, content_hash)


def a_dataset(folder: Path, *, rows: int = 200, holdout: int = 60) -> StoredDataset:
    made = sentences(rows + holdout, seed=7)
    return store_dataset(folder, made[:rows], made[rows:])


def a_spec(dataset: StoredDataset, base: Path, store: Path, **changes: Any) -> RunSpec:
    fields: dict[str, Any] = {
        "training_job": "tiny-1",
        "attempt": 1,
        "model_name": "tiny",
        "base_model_uri": base.as_uri(),
        "dataset_uri": dataset.uri,
        "dataset_hash": dataset.content_hash,
        "labels": LABELS,
        "method": "Linear",
        "hyperparameters": {"seed": 1},
        "output_uri": store.as_uri(),
    }
    return RunSpec.model_validate(fields | changes)


@dataclass(frozen=True)
class Done:
    """A run that ended well: its folder and store can be looked into."""

    spec: RunSpec
    folder: Path
    store: Path
    result: RunResult


@dataclass(frozen=True)
class Ended:
    code: int
    line: bytes
    log: str

    @property
    def result(self) -> RunResult:
        return RunResult.model_validate_json(self.line)


def start_run(spec: RunSpec, folder: Path, **environment: str) -> "subprocess.Popen[bytes]":
    """The run as a substrate starts it: a process of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"spec-{spec.attempt}.json"
    path.write_text(spec.model_dump_json())
    command = [sys.executable, "-m", "sentops_trainer.run"]
    command += ["--spec", str(path), "--out", str(folder)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=(folder / f"log-{spec.attempt}.txt").open("wb"),
        env={**os.environ, "SENTOPS_RUN_THREADS": "1", **environment},
    )


def finish(process: "subprocess.Popen[bytes]", folder: Path, attempt: int = 1) -> Ended:
    output, _ = process.communicate(timeout=170)
    lines = output.splitlines()
    log = (folder / f"log-{attempt}.txt").read_text(errors="replace")
    assert lines, log[-3000:]
    return Ended(process.returncode, lines[-1], log)
