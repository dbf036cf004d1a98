"""A file as a table: named columns, and records that can be walked more than once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sentops_core.datasets.report import Refusal


@dataclass(frozen=True)
class Record:
    """One row. With a `problem` its values are not to be trusted."""

    row: int
    values: tuple[str, ...]
    problem: tuple[Refusal, str] | None = None
    repaired: bool = False


@dataclass(frozen=True)
class Table:
    format: str
    columns: tuple[str, ...]
    records: Callable[[], Iterator[Record]]
    delimiter: str | None = None
    has_header: bool = True
