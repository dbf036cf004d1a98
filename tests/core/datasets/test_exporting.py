"""A version as a file that people take away."""

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from sentops_core.datasets.exporting import ExportFormat, exported
from sentops_core.datasets.reading import read_file
from sentops_core.domain.text import content_hash
from sentops_core.store.dataset_rows import BrowsedRow

TEXTS = ["ottimo; davvero", '=HYPERLINK("x")', "'=1+1", 'con "virgolette"\ne righe', "-10%", "因"]


def a_row(text: str | None, label: str = "positive") -> BrowsedRow:
    key = content_hash(text or "erased")
    return BrowsedRow(key, text, label, "train", "upload:x", None, None, None, label)


async def pages(*rows: Sequence[BrowsedRow]) -> AsyncIterator[Sequence[BrowsedRow]]:
    for page in rows:
        yield page


async def written(tmp_path: Path, wanted: ExportFormat, *rows: Sequence[BrowsedRow]) -> Path:
    path = tmp_path / f"export.{wanted}"
    path.write_bytes(b"".join([piece async for piece in exported(pages(*rows), wanted)]))
    return path


ROWS = [[a_row(text) for text in TEXTS[:4]], [a_row(text) for text in TEXTS[4:]] + [a_row(None)]]


async def test_csv_holds_no_formula_and_reads_back_as_it_was(tmp_path: Path) -> None:
    path = await written(tmp_path, ExportFormat.CSV, *ROWS)
    content = path.read_text("utf-8-sig")
    assert ',"\'=HYPERLINK(""x"")",' in content
    assert ",''=1+1," in content
    reading = read_file(path, path.name)
    assert [row.text for row in reading.rows] == TEXTS
    assert {row.label for row in reading.rows} == {"positive"}


async def test_a_csv_file_of_others_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("text,label\n'=1+1,positive\n")
    assert read_file(path, path.name).rows[0].text == "'=1+1"


async def test_json_lines_hold_the_texts_as_they_are(tmp_path: Path) -> None:
    path = await written(tmp_path, ExportFormat.JSONL, *ROWS)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["text"] for row in rows] == TEXTS
    assert rows[0]["language"] is None
    assert [row.text for row in read_file(path, path.name).rows] == TEXTS


async def test_parquet_holds_the_texts_as_they_are(tmp_path: Path) -> None:
    path = await written(tmp_path, ExportFormat.PARQUET, *ROWS)
    table = pq.read_table(path)
    assert table.column("text").to_pylist() == TEXTS
    assert table.column_names == ["content_hash", "text", "label", "side", "source", "language"]
    assert [row.text for row in read_file(path, path.name).rows] == TEXTS


async def test_an_empty_version_is_a_file_with_columns_only(tmp_path: Path) -> None:
    assert pq.read_table(await written(tmp_path, ExportFormat.PARQUET, [])).num_rows == 0
    csv = (await written(tmp_path, ExportFormat.CSV, [])).read_text("utf-8-sig")
    assert csv == "content_hash,text,label,side,source,language\n"
