"""The rows of a materialised dataset version, read and checked before any computing starts."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sentops_core.domain.run import RunSpec
from sentops_trainer.failures import BadData

MIN_ROWS = 20
MIN_ROWS_PER_LABEL = 5  # the folds and the validation part need some of each
_COLUMNS = ("content_hash", "text", "label", "language", "weight")


@dataclass(frozen=True)
class Rows:
    hashes: list[str]
    texts: list[str]
    labels: npt.NDArray[np.int64]
    languages: list[str]
    weights: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.texts)

    def at(self, indices: npt.NDArray[np.int64]) -> "Rows":
        """These rows, in this order."""
        return Rows(
            hashes=[self.hashes[index] for index in indices],
            texts=[self.texts[index] for index in indices],
            labels=self.labels[indices],
            languages=[self.languages[index] for index in indices],
            weights=self.weights[indices],
        )


@dataclass(frozen=True)
class Dataset:
    """`about` is dataset.json: name, version, hashes, origin, licence."""

    train: Rows
    holdout: Rows
    about: dict[str, object]


def read_dataset(folder: Path, spec: RunSpec) -> Dataset:
    """The dataset that the spec names; BadData with a sentence where it cannot be used."""
    about = _read_about(folder)
    if about.get("content_hash") != spec.dataset_hash:
        raise BadData(
            f"{spec.dataset_uri} holds the dataset {about.get('content_hash')}, wanted is {spec.dataset_hash}"
        )
    dataset = Dataset(
        train=_read_rows(folder / "train.parquet", spec.labels),
        holdout=_read_rows(folder / "holdout.parquet", spec.labels),
        about=about,
    )
    _check(dataset, spec.labels)
    return dataset


def _read_about(folder: Path) -> dict[str, object]:
    try:
        about = json.loads((folder / "dataset.json").read_bytes())
    except (OSError, ValueError) as error:
        raise BadData(f"dataset.json of the dataset cannot be read: {error}") from error
    if not isinstance(about, dict):
        raise BadData("dataset.json of the dataset is no JSON object")
    return about


def _read_rows(path: Path, labels: tuple[str, ...]) -> Rows:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise BadData(f"{path.name} of the dataset cannot be read: {error}") from error
    if missing := [name for name in _COLUMNS if name not in table.column_names]:
        raise BadData(f"{path.name} of the dataset lacks the columns {', '.join(missing)}")
    number_of = {label: number for number, label in enumerate(labels)}
    names = table["label"].to_pylist()
    if unknown := sorted({str(name) for name in names} - set(labels)):
        raise BadData(
            f"{path.name} has the labels {', '.join(unknown)}, the training job knows {', '.join(labels)}"
        )
    return Rows(
        hashes=table["content_hash"].to_pylist(),
        texts=table["text"].to_pylist(),
        labels=np.array([number_of[name] for name in names], dtype=np.int64),
        languages=[language or "" for language in table["language"].to_pylist()],
        weights=np.array(table["weight"].to_pylist(), dtype=np.float64),
    )


def _check(dataset: Dataset, labels: tuple[str, ...]) -> None:
    train, holdout = dataset.train, dataset.holdout
    counts = np.bincount(train.labels, minlength=len(labels))
    present = [label for label, count in zip(labels, counts, strict=True) if count]
    if len(present) == 1:
        raise BadData(
            f"every training row is {present[0]}: a classifier needs at least two labels; add rows of the others"
        )
    if len(train) < MIN_ROWS:
        raise BadData(f"{len(train)} training rows are too few: at least {MIN_ROWS} are needed")
    for label, count in zip(labels, counts, strict=True):
        if count < MIN_ROWS_PER_LABEL:
            raise BadData(
                f"{count} training rows are {label}: each label needs at least {MIN_ROWS_PER_LABEL}"
            )
    if not len(holdout):
        raise BadData(
            "the dataset has no held-out rows, so a model trained on it could not be judged"
        )
    if shared := set(train.hashes) & set(holdout.hashes):
        raise BadData(
            f"{len(shared)} held-out rows are also training rows: what is measured on them would be too good"
        )
    if not np.isfinite(train.weights).all() or (train.weights <= 0).any():
        raise BadData("a training row has a weight that is not over 0")
