"""JSON Lines: one object per line."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from sentops_core.datasets.limits import Limits
from sentops_core.datasets.lines import Line, lines
from sentops_core.datasets.report import Refusal
from sentops_core.datasets.tables import Problem, Record, Table
from sentops_core.domain.errors import InvalidInput

_SNIFFED_LINES = 200


def jsonl_table(path: Path, limits: Limits) -> Table:
    """The columns are the keys seen in the first lines; InvalidInput when none of them holds an object."""
    keys: dict[str, None] = {}
    for line in islice(lines(path, limits.line_bytes), _SNIFFED_LINES):
        value = _parsed(line)
        if isinstance(value, dict):
            keys |= dict.fromkeys(value)
    if not keys:
        raise InvalidInput(
            'No line holds a JSON object: send one per line, like {"text": "...", "label": "positive"}.',
            saying="file_no_objects",
        )
    if len(keys) > limits.columns:
        raise InvalidInput(
            f"The objects have more than {limits.columns} different keys.",
            saying="file_many_columns",
            facts={"most": limits.columns},
        )
    columns = tuple(keys)
    return Table(format="jsonl", columns=columns, records=lambda: _records(path, columns, limits))


def _parsed(line: Line) -> object:
    try:
        return json.loads(line.text)
    except (ValueError, RecursionError):
        return None


def _records(path: Path, columns: tuple[str, ...], limits: Limits) -> Iterator[Record]:
    for line in lines(path, limits.line_bytes):
        value = _parsed(line)
        if not line.text.strip():
            yield Record(line.number, (), Problem(Refusal.EMPTY_ROW, "empty line"))
        elif line.cut:
            yield Record(line.number, (), Problem(Refusal.TOO_LONG, "a line of more than 1 MiB"))
        elif not isinstance(value, dict):
            yield Record(
                line.number, (), Problem(Refusal.UNREADABLE, "not a JSON object"), line.repaired
            )
        else:
            cells = tuple(_cell(value.get(column)) for column in columns)
            yield Record(line.number, cells, repaired=line.repaired)


def _cell(value: object) -> str:
    """Scalars as text; lists and objects are no text and count as empty."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) else ""
