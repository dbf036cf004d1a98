"""CSV that spreadsheets do not run, and that can be undone."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentops_core.datasets.spreadsheets import csv_lines, neutral, restored

FORMULAS = ("=1+1", "+39 06 1234", "-10%", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1+1", "'=1+1")


@pytest.mark.parametrize("cell", FORMULAS)
def test_what_a_spreadsheet_would_run_starts_with_an_apostrophe(cell: str) -> None:
    assert neutral(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "ottimo", "'sto prodotto", "''", "3 = 3", " =1"])
def test_other_cells_stay_as_they_are(cell: str) -> None:
    assert neutral(cell) == cell
    assert restored(cell) == cell


@given(st.text(alphabet="'=+-@\t\r\n a＝1"))
def test_it_is_undone_exactly(cell: str) -> None:
    assert restored(neutral(cell)) == cell


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), max_size=5))
def test_rows_come_back_from_csv(rows: list[list[str]]) -> None:
    lines = io.StringIO(csv_lines(rows), newline="")
    assert [[restored(cell) for cell in row] for row in csv.reader(lines)] == rows
