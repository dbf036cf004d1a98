"""A version's rows as a file that people take away, made piece by piece: CSV, JSON Lines or Parquet."""

import io
import json
from collections.abc import AsyncIterator, Sequence
from enum import StrEnum

import pyarrow as pa
import pyarrow.parquet as pq

from sentops_core.datasets.spreadsheets import EXPORT_COLUMNS, csv_lines
from sentops_core.store.dataset_rows import BrowsedRow

_SCHEMA = pa.schema([(column, pa.string()) for column in EXPORT_COLUMNS])


class ExportFormat(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"

    @property
    def media_type(self) -> str:
        return _MEDIA_TYPES[self]


_MEDIA_TYPES = {
    ExportFormat.CSV: "text/csv; charset=utf-8",
    ExportFormat.JSONL: "application/jsonl; charset=utf-8",
    ExportFormat.PARQUET: "application/vnd.apache.parquet",
}

Pages = AsyncIterator[Sequence[BrowsedRow]]


def exported(pages: Pages, wanted: ExportFormat) -> AsyncIterator[bytes]:
    """The file's bytes. Erased rows are not in it; only CSV changes texts (see `spreadsheets`)."""
    match wanted:
        case ExportFormat.CSV:
            return _csv(pages)
        case ExportFormat.JSONL:
            return _jsonl(pages)
        case ExportFormat.PARQUET:
            return _parquet(pages)


def _cells(row: BrowsedRow) -> tuple[str, str, str, str, str, str | None]:
    text = row.text or ""
    return row.content_hash.hex(), text, row.label, row.split, row.source, row.language


async def _there(pages: Pages) -> AsyncIterator[list[tuple[str, str, str, str, str, str | None]]]:
    async for page in pages:
        yield [_cells(row) for row in page if row.text is not None]


async def _csv(pages: Pages) -> AsyncIterator[bytes]:
    yield (
        b"\xef\xbb\xbf" + csv_lines([EXPORT_COLUMNS]).encode()
    )  # Excel takes a file without the mark for Latin-1
    async for rows in _there(pages):
        yield csv_lines([[cell or "" for cell in row] for row in rows]).encode()


async def _jsonl(pages: Pages) -> AsyncIterator[bytes]:
    async for rows in _there(pages):
        lines = [
            json.dumps(dict(zip(EXPORT_COLUMNS, row, strict=True)), ensure_ascii=False)
            for row in rows
        ]
        yield "".join(f"{line}\n" for line in lines).encode()


async def _parquet(pages: Pages) -> AsyncIterator[bytes]:
    sink = io.BytesIO()
    with pq.ParquetWriter(pa.PythonFile(_Passing(sink), mode="w"), _SCHEMA) as writer:
        async for rows in _there(pages):
            if rows:
                columns = zip(*rows, strict=True)
                arrays = [pa.array(column, pa.string()) for column in columns]
                writer.write_table(pa.Table.from_arrays(arrays, schema=_SCHEMA))
            yield _taken(sink)
    yield _taken(sink)


class _Passing(io.RawIOBase):
    """Counts what went through: a Parquet file ends with places in it, though its start has left already."""

    def __init__(self, sink: io.BytesIO) -> None:
        super().__init__()
        self._sink = sink
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._written += len(data)
        return self._sink.write(data)

    def tell(self) -> int:
        return self._written


def _taken(sink: io.BytesIO) -> bytes:
    content = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return content
