"""Parquet, read batch by batch."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sentops_core.datasets.limits import Limits
from sentops_core.datasets.report import Refusal
from sentops_core.datasets.tables import Problem, Record, Table
from sentops_core.domain.errors import InvalidInput, TooLarge

_BATCH = 1_000


def parquet_table(path: Path, limits: Limits) -> Table:
    try:
        with pq.ParquetFile(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(
            "This is no readable Parquet file: it may be truncated.", saying="parquet_unreadable"
        ) from error
    unpacked = sum(
        metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups)
    )
    if unpacked > limits.uncompressed_bytes:
        raise TooLarge(
            f"The file unpacks to more than {limits.uncompressed_bytes >> 20} MiB: send it in parts.",
            saying="file_unpacks",
            facts={"mebibytes": limits.uncompressed_bytes >> 20},
        )
    columns = tuple(schema.names)
    return Table(format="parquet", columns=columns, records=lambda: _records(path, len(columns)))


def _records(path: Path, width: int) -> Iterator[Record]:
    row = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH):
                for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    row += 1
                    cells = tuple(_cell(value) for value in values[:width])
                    empty = not any(cell.strip() for cell in cells)
                    yield Record(
                        row, cells, Problem(Refusal.EMPTY_ROW, "empty row") if empty else None
                    )
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"The Parquet file cannot be read past row {row}: it may be damaged.",
            saying="parquet_unreadable",
        ) from error


def _cell(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value) if isinstance(value, int | float) else ""
