"""CSV and TSV as people export them: any of four separators, ragged rows, quotes left open."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from sentops_core.datasets.labels import built_in_label
from sentops_core.datasets.limits import Limits
from sentops_core.datasets.lines import Line, lines
from sentops_core.datasets.report import Refusal
from sentops_core.datasets.tables import Problem, Record, Table
from sentops_core.domain.errors import InvalidInput

_DELIMITERS = ",;\t|"
_SNIFFED_LINES = 200
_REREAD_RECORDS = 1_000  # each one costs reading up to a field's limit again


def csv_table(path: Path, limits: Limits) -> Table:
    """InvalidInput when no separator makes at least two columns of the first row."""
    sample = [line.text for line in islice(lines(path, limits.line_bytes), _SNIFFED_LINES)]
    delimiter, first = _sniff(sample)
    if len(first) > limits.columns:
        raise InvalidInput(
            f"The first row has {len(first)} columns; at most {limits.columns} are read.",
            saying="file_many_columns",
            facts={"most": limits.columns},
        )
    has_header = not _is_data(first)
    columns = tuple(name.strip() for name in first) if has_header else ("column 1", "column 2")
    return Table(
        format="tsv" if delimiter == "\t" else "csv",
        columns=columns,
        records=lambda: _records(
            path, delimiter, len(columns), has_header=has_header, limits=limits
        ),
        delimiter=delimiter,
        has_header=has_header,
    )


def _sniff(sample: list[str]) -> tuple[str, list[str]]:
    """The separator under which most rows have as many fields as the first one, and that first row."""
    best: tuple[float, int, str, list[str]] | None = None
    for delimiter in _DELIMITERS:
        rows = [row for row in _parsed(sample, delimiter) if any(cell.strip() for cell in row)]
        if not rows or len(rows[0]) < 2:  # a text and a label
            continue
        agreeing = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
        if best is None or (agreeing, len(rows[0])) > best[:2]:
            best = (agreeing, len(rows[0]), delimiter, rows[0])
    if best is None:
        raise InvalidInput(
            "The first row has one column only: a text and a label are needed, separated by a comma, "
            "a semicolon, a tab or a vertical bar.",
            saying="file_one_column",
        )
    return best[2], best[3]


def _parsed(sample: list[str], delimiter: str) -> Iterator[list[str]]:
    reader = csv.reader(sample, delimiter=delimiter)
    while True:
        try:
            yield next(reader)
        except csv.Error:
            continue
        except StopIteration:
            return


def _is_data(first: list[str]) -> bool:
    """A first row like `Great product,positive` is no header."""
    return len(first) == 2 and sum(built_in_label(cell) is not None for cell in first) == 1


@dataclass
class _Source:
    """Feeds csv.reader, remembers which lines the current record took, and can take them back."""

    upcoming: Iterator[Line]
    taken: list[Line] = field(default_factory=list)
    returned: list[Line] = field(default_factory=list)
    ended: bool = False  # inside a record: a quote was open when the file ended

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.returned.pop() if self.returned else next(self.upcoming, None)
        if line is None:
            self.ended = True
            raise StopIteration
        self.taken.append(line)
        return line.text

    def start_record(self) -> None:
        self.taken.clear()
        self.ended = False

    def give_back_all_but_the_first(self) -> None:
        self.returned.extend(reversed(self.taken[1:]))


def _records(
    path: Path, delimiter: str, width: int, *, has_header: bool, limits: Limits
) -> Iterator[Record]:
    source = _Source(lines(path, limits.line_bytes))
    reader = csv.reader(source, delimiter=delimiter)
    skip_header = has_header
    reread = 0
    while True:
        source.start_record()
        values: list[str] | None = None
        try:
            values = next(reader)
        except csv.Error:
            pass
        except StopIteration:
            return
        if skip_header and values is not None:
            skip_header = not any(cell.strip() for cell in values)
            continue
        problem = _problem(values, source, width)
        if problem is not None and len(source.taken) > 1:
            # A quote left open swallows the rows after it: only its own line is lost.
            reread += 1
            if reread > _REREAD_RECORDS:
                raise InvalidInput(
                    f"Quotes are left open in more than {_REREAD_RECORDS} rows, the last in line "
                    f"{source.taken[0].number}: export the file again with quotes doubled inside fields.",
                    saying="file_open_quotes",
                    facts={"line": source.taken[0].number},
                )
            source.give_back_all_but_the_first()
        yield Record(
            row=source.taken[0].number,
            values=tuple((values or [])[:width]),
            problem=problem,
            repaired=any(line.repaired for line in source.taken),
        )


def _problem(values: list[str] | None, source: _Source, width: int) -> Problem | None:
    taken = source.taken
    spans = f"; it spans {len(taken)} lines: is a quote left open?" if len(taken) > 1 else ""
    if any(line.cut for line in taken):
        return Problem(Refusal.TOO_LONG, "a line of more than 1 MiB")
    if values is None:
        return Problem(Refusal.UNREADABLE, f"a field is too long or holds a stray line end{spans}")
    if source.ended:
        return Problem(Refusal.UNREADABLE, "a quote is left open")
    if not any(cell.strip() for cell in values):
        return Problem(Refusal.EMPTY_ROW, "empty row" if values else "empty line")
    if len(values) < width or any(cell.strip() for cell in values[width:]):
        return Problem(
            Refusal.RAGGED_ROW,
            f"{len(values)} fields instead of {width}{spans}",
            {"fields": str(len(values)), "columns": str(width)},
        )
    return None
