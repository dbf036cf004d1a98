"""A version as the folder that runs read: train.parquet, holdout.parquet and dataset.json."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sentops_core.datasets.draft import Draft, Member
from sentops_core.datasets.split import Split
from sentops_core.domain.base import Body, Digest

_SCHEMA = pa.schema(
    [
        ("content_hash", pa.string()),
        ("text", pa.string()),
        ("label", pa.string()),
        ("source", pa.string()),
        ("language", pa.string()),
        ("weight", pa.float64()),
    ]
)


class DatasetCard(Body):
    """dataset.json."""

    name: str
    version: str
    labels: tuple[str, ...]
    content_hash: Digest
    holdout_hash: Digest
    rows_train: int
    rows_holdout: int
    label_counts: dict[str, int]
    origin: str
    licence: str


def write_folder(folder: Path, draft: Draft, card: DatasetCard) -> None:
    """Blocking; the folder exists and is empty."""
    pq.write_table(_table(draft.side(Split.TRAIN)), folder / "train.parquet")
    pq.write_table(_table(draft.side(Split.HOLDOUT)), folder / "holdout.parquet")
    (folder / "dataset.json").write_text(card.model_dump_json(indent=1), encoding="utf-8")


def address_of(store_uri: str, content_hash: Digest) -> str:
    """Where a version lies in the store: content-addressed, so writing it twice is writing it once."""
    return f"{store_uri.rstrip('/')}/datasets/{content_hash.removeprefix('sha256:')}"


def _table(members: tuple[Member, ...]) -> pa.Table:
    rows = [
        {
            "content_hash": member.content_hash.hex(),
            "text": member.text,
            "label": member.label,
            "source": member.source,
            "language": member.language,
            "weight": 1.0,
        }
        for member in members
    ]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)
