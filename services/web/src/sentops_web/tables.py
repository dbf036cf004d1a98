"""Tables of texts from people's files, and tables back that no spreadsheet mistakes for a program."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sentops_core.domain.errors import InvalidInput, TooLarge, UnsupportedFormat


class TableEmpty(InvalidInput):
    code = "table_empty"


class TableInvalid(InvalidInput):
    code = "table_invalid"


class TableColumns(InvalidInput):
    """Which column holds the texts is not clear; `columns` lists what there is."""

    code = "table_columns"


class TableTooLong(TooLarge):
    code = "table_too_long"


_TEXT_COLUMNS = (
    "text", "testo", "review", "recensione", "comment", "commento", "message", "messaggio",
    "sentence", "frase", "content", "body", "tweet",
)  # fmt: skip
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_DELIMITERS = ",;\t|"
_LONGEST_CELL = 1_000_000
_ENOUGH_TO_TELL = 10_000  # characters of the first line, far below the csv module's own limit


@dataclass(frozen=True)
class Table:
    """`header` is empty for a plain list of texts."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_index: int

    def texts(self) -> Iterator[str]:
        return (row[self.text_index] if self.text_index < len(row) else "" for row in self.rows)


def neutral(cell: str) -> str:
    """The cell with a leading ' where a spreadsheet would run it as a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell


def csv_line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow([neutral(cell) for cell in cells])
    return line.getvalue()


def read_lines(text: str, *, max_rows: int) -> Table:
    """One text per line; empty lines are left out."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise TableEmpty("There is no text in it: put one text on each line.")
    _refuse_long(len(lines), max_rows)
    return Table((), tuple((line,) for line in lines), 0)


def read_table(content: bytes, *, column: str | None, max_rows: int) -> Table:
    """A CSV or TSV file (any usual delimiter and encoding), or a plain list of texts.

    A table of several columns starts with their names; `column` picks one, else its name tells.
    """
    text = decode(content)
    if not text.strip():
        raise TableEmpty("The file is empty: it needs one text per row.")
    rows = _rows(text, _delimiter(text), max_rows=max_rows + 1)
    if not rows:
        raise TableEmpty("The file has no text in it: it needs one text per row.")
    header = tuple(cell.strip() for cell in rows[0])
    if column is None and not _is_table(header, rows[1:]):
        return read_lines(text, max_rows=max_rows)
    index = _text_index(header, column)
    if len(rows) == 1:
        raise TableEmpty("The file has a header but no rows.")
    _refuse_long(len(rows) - 1, max_rows)
    return Table(header, tuple(rows[1:]), index)


def decode(content: bytes) -> str:
    """UTF-8 or UTF-16 by their marks, else UTF-8, else what Windows programs write."""
    if b"\0" in content[:4] and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnsupportedFormat("This is not a text file: save the sheet as CSV (UTF-8) first.")
    if content.startswith(b"PK\x03\x04"):
        raise UnsupportedFormat(
            "This looks like an Excel or ZIP file: save the sheet as CSV first."
        )
    for encoding in (
        "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig",
        "cp1252",
    ):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise UnsupportedFormat("The file's letters cannot be read: save it as CSV (UTF-8).")


def _delimiter(text: str) -> str:
    """The delimiter that splits the first line into most cells."""
    first = next(line for line in text.splitlines() if line.strip())[:_ENOUGH_TO_TELL]
    return max(_DELIMITERS, key=lambda one: len(next(csv.reader([first], delimiter=one))))


def _rows(text: str, delimiter: str, *, max_rows: int) -> list[tuple[str, ...]]:
    csv.field_size_limit(_LONGEST_CELL)
    rows: list[tuple[str, ...]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            if any(cell.strip() for cell in row):
                rows.append(tuple(row))
            _refuse_long(len(rows) - 1, max_rows - 1)
    except csv.Error as error:
        raise TableInvalid(
            f"The file is not valid CSV near row {len(rows) + 1}: {error}."
        ) from error
    return rows


def _is_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> bool:
    """Whether the rows go under the header; sentences with commas in them do not line up."""
    if any(name.lower() in _TEXT_COLUMNS for name in header):
        return True
    fitting = sum(len(row) == len(header) for row in rows)
    return len(header) > 1 and fitting > 0.8 * len(rows)


def _text_index(header: tuple[str, ...], column: str | None) -> int:
    names = [name.lower() for name in header]
    shown = ", ".join(header)
    if column is not None:
        if column.strip().lower() not in names:
            raise TableColumns(
                f"The file has no column '{column}'; it has: {shown}.",
                details={"columns": list(header)},
            )
        return names.index(column.strip().lower())
    found = [names.index(name) for name in _TEXT_COLUMNS if name in names]
    if not found:
        raise TableColumns(
            f"Which column holds the texts? The file has: {shown}. "
            "Name one, or call it 'text' in the first row.",
            details={"columns": list(header)},
        )
    return found[0]


def _refuse_long(rows: int, max_rows: int) -> None:
    if rows > max_rows:
        raise TableTooLong(f"The file has more than {max_rows:,} rows; send it in parts.")
