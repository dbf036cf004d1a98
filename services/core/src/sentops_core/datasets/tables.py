"""A file as a table: named columns, and records that can be walked more than once."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from sentops_core.datasets.report import Refusal


class Problem(NamedTuple):
    """Why a row is refused; `facts` are what its message says beside the reason."""

    reason: Refusal
    message: str
    facts: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Record:
    """One row. With a `problem` its values are not to be trusted."""

    row: int
    values: tuple[str, ...]
    problem: Problem | None = None
    repaired: bool = False


@dataclass(frozen=True)
class Table:
    format: str
    columns: tuple[str, ...]
    records: Callable[[], Iterator[Record]]
    delimiter: str | None = None
    has_header: bool = True
