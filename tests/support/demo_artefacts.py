"""Artefacts of the demo that a model server can load, with a card and what they answered row by row."""

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sentops_core.artifacts import publish_folder
from sentops_core.domain.artifact import ANSWERS, CARD
from sentops_core.store.pool import Connection
from tests.support.artifacts import LABELS, build_artifact
from tests.support.demo_models import Artefact

HeldOut = Sequence[tuple[str, str]]  # content hash in hex, label
_HELD_OUT = """
SELECT encode(content_hash, 'hex') AS hash, label
  FROM dataset_members
 WHERE dataset_version = $1 AND split = 'holdout'
 ORDER BY content_hash
 LIMIT 400
"""
_CARD = """# sentiment

Answers a text with one of negative, neutral, positive.

## Data

| rows | negative | neutral | positive | languages |
|---|---:|---:|---:|---|
| training | 68 | 38 | 91 | it, en |
| held out | 13 | 9 | 25 | it, en |

## Known failures

- neutral, answered positive (0.61): *La tastiera fa quello che deve.*
- negative, answered neutral (0.48): *I expected more <b>for the price</b>.*

## Limits

It reads words, not intentions: irony deceives it.
"""


async def held_out(connection: Connection, dataset_version: str) -> HeldOut:
    rows = await connection.fetch(_HELD_OUT, dataset_version)
    return [(row["hash"], row["label"]) for row in rows]


def two_artefacts(store_uri: str, rows: HeldOut) -> list[Artefact]:
    """The second is wrong on fewer rows, and on one where the first is right."""
    found = []
    for number, strength in enumerate((2.0, 3.0)):
        wrong = {at for at in range(len(rows)) if at % 5 == 0 and (number == 0 or at % 10 == 0)}
        wrong ^= {7} if number else set()

        def fill(inside: Path, wrong: set[int] = wrong) -> None:
            (inside / CARD).write_text(_CARD)
            (inside / ANSWERS).write_bytes(_answers(rows, wrong))

        with tempfile.TemporaryDirectory(prefix="sentops-demo-") as folder:
            built = build_artifact(Path(folder) / "made", strength=strength, before_sealing=fill)
            published = publish_folder(built.folder, store_uri)
        found.append(Artefact(published.storage_uri, published.digest, published.size_bytes))
    return found


def _answers(rows: HeldOut, wrong: set[int]) -> bytes:
    table = {
        "content_hash": [key for key, _ in rows],
        "truth": [label for _, label in rows],
        "answer": [
            LABELS[(LABELS.index(label) + 1) % 3] if at in wrong else label
            for at, (_, label) in enumerate(rows)
        ],
        "score": [0.55 + (at % 9) / 20 for at in range(len(rows))],
    }
    file = io.BytesIO()
    pq.write_table(pa.table(table), file)
    return file.getvalue()
