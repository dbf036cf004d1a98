"""How much one file may hold. Reading keeps at most the kept rows in memory, never the file."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    rows: int = 200_000
    text_characters: int = 20_000
    line_bytes: int = 1 << 20
    uncompressed_bytes: int = (
        512 << 20
    )  # of a workbook or Parquet file: they can unpack to far more than was sent
    columns: int = 1_000


DEFAULT_LIMITS = Limits()
