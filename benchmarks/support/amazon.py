"""The Amazon snippets, split by review: from ../shared/data, else from the vaderSentiment sdist by the same rule."""

import asyncio
import csv
import hashlib
from pathlib import Path

from sentops_cli import sample

LABELS = ("negative", "neutral", "positive")
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"

Rows = list[tuple[str, str]]


def amazon_rows(folder: Path) -> tuple[Rows, Rows]:
    """(train, test); what has to be fetched is kept in `folder`."""
    train, test = SHARED / "amazon_reviews_train.csv", SHARED / "amazon_reviews_test.csv"
    if train.is_file() and test.is_file():
        return read_rows(train), read_rows(test)
    sdist = asyncio.run(sample.fetch_sdist(folder))
    parts = _split_by_review(sample.snippets_in(sdist))
    return parts["train"], parts["test"]


def read_rows(path: Path) -> Rows:
    """The columns `text` and `label` of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def _split_by_review(content: str) -> dict[str, Rows]:
    """The split of ../shared/data: by review, never by snippet; the buckets under 15 stay unused, as there."""
    parts: dict[str, Rows] = {"train": [], "test": []}
    seen: set[str] = set()
    for row in sample.review_snippets(content):
        text = " ".join(row.text.split())
        if text in seen:
            continue
        seen.add(text)
        bucket = int(hashlib.sha1(row.group.encode()).hexdigest()[:8], 16) % 100
        if bucket >= 15:
            parts["test" if bucket < 32 else "train"].append((text, row.label))
    return parts
