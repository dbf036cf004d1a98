"""Excel workbooks: the first sheet that is not empty, read row by row."""

import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from xml.etree.ElementTree import ParseError

from openpyxl import Workbook, load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from sentops_core.datasets.limits import Limits
from sentops_core.datasets.report import Refusal
from sentops_core.datasets.tables import Problem, Record, Table
from sentops_core.domain.errors import InvalidInput, TooLarge

_MEMBERS = 2_000
_HEADER_ROWS = 20
_BROKEN = (
    zipfile.BadZipFile,
    InvalidFileException,
    ParseError,
    KeyError,
    ValueError,
    TypeError,
    EOFError,
    OSError,
)


def xlsx_table(path: Path, limits: Limits) -> Table:
    _refuse_bombs(path, limits)
    for sheet in range(_sheets(path)):
        for row, values in islice(_rows(path, sheet, limits.columns), _HEADER_ROWS):
            if any(cell.strip() for cell in values):
                columns = tuple(cell.strip() for cell in _without_empty_end(values))
                records = partial(_records, path, sheet, row, len(columns), limits)
                return Table(format="xlsx", columns=columns, records=records)
    raise InvalidInput(
        "The workbook is empty: its first row should name the columns.", saying="workbook_empty"
    )


def _refuse_bombs(path: Path, limits: Limits) -> None:
    """Sizes as the archive states them: unpacking stops there, so a lie only makes the file unreadable."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            unpacked = sum(member.file_size for member in members)
            if len(members) > _MEMBERS or unpacked > limits.uncompressed_bytes:
                raise TooLarge(
                    f"The workbook unpacks to more than {limits.uncompressed_bytes >> 20} MiB.",
                    saying="file_unpacks",
                    facts={"mebibytes": limits.uncompressed_bytes >> 20},
                )
            for member in members:
                if member.filename.endswith((".xml", ".rels")):
                    with archive.open(member) as file:
                        if b"<!DOCTYPE" in file.read(4096):
                            raise InvalidInput(
                                "The workbook declares XML entities, which no real workbook does.",
                                saying="workbook_unreadable",
                            )
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise InvalidInput(
            "This is no readable workbook: it may be damaged, encrypted or an old .xls.",
            saying="workbook_unreadable",
        ) from error


@contextmanager
def _workbook(path: Path) -> Iterator[Workbook]:
    """From a file object: openpyxl judges paths by their suffix, and an upload's file has none."""
    with (
        path.open("rb") as file,
        closing(load_workbook(file, read_only=True, data_only=True)) as book,
    ):
        yield book


def _sheets(path: Path) -> int:
    try:
        with _workbook(path) as book:
            return len(book.worksheets)
    except _BROKEN as error:
        raise InvalidInput(
            "This is no readable workbook: save it again as .xlsx.", saying="workbook_unreadable"
        ) from error


def _rows(path: Path, sheet: int, columns: int) -> Iterator[tuple[int, tuple[str, ...]]]:
    row = 0
    try:
        with _workbook(path) as book:
            for values in book.worksheets[sheet].iter_rows(max_col=columns, values_only=True):
                row += 1
                yield row, tuple(_cell(value) for value in values)
    except _BROKEN as error:
        raise InvalidInput(
            f"The workbook cannot be read past row {row}: save it again as .xlsx.",
            saying="workbook_unreadable",
        ) from error


def _records(path: Path, sheet: int, header: int, width: int, limits: Limits) -> Iterator[Record]:
    for row, values in _rows(path, sheet, limits.columns):
        if row <= header:
            continue
        if not any(cell.strip() for cell in values):
            yield Record(row, (), Problem(Refusal.EMPTY_ROW, "empty row"))
        elif any(cell.strip() for cell in values[width:]):
            yield Record(
                row,
                (),
                Problem(
                    Refusal.RAGGED_ROW,
                    f"cells to the right of the {width} named columns",
                    {"columns": str(width)},
                ),
            )
        else:
            yield Record(row, (*values, *[""] * (width - len(values)))[:width])


def _without_empty_end(values: tuple[str, ...]) -> tuple[str, ...]:
    last = max(position for position, cell in enumerate(values) if cell.strip())
    return values[: last + 1]


def _cell(value: object) -> str:
    """A sheet keeps whole numbers as floats: 5.0 is the 5 that a person typed."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
