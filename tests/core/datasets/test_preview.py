"""What a file would give, before anything is made of it."""

from pathlib import Path

import pytest

from sentops_core.datasets.preview import Preview, preview_file
from sentops_core.datasets.reading import ReadOptions
from sentops_core.datasets.report import Refusal
from sentops_core.domain.errors import InvalidInput, UnsupportedFormat


def preview(tmp_path: Path, content: str, name: str = "x.csv", **options: object) -> Preview:
    path = tmp_path / "upload"
    path.write_bytes(content.encode())
    return preview_file(path, name, ReadOptions(**options))  # type: ignore[arg-type]


STARS = "recensione,stelle,autore\nottimo,5,a\ncosì così,3,b\npessimo,1,c\nbuono,5,d\n"


def test_columns_are_guessed_and_labels_counted_with_what_they_mean(tmp_path: Path) -> None:
    found = preview(tmp_path, STARS)
    assert (found.text_column, found.label_column) == ("recensione", "stelle")
    assert {(one.raw, one.rows, one.meaning) for one in found.labels} == {
        ("5", 2, "positive"),
        ("3", 1, "neutral"),
        ("1", 1, "negative"),
    }
    assert found.first[0].cells == ("ottimo", "5", "a")
    assert found.report is not None
    assert (found.report.kept, found.problem) == (4, "")


def test_what_the_loader_would_refuse_is_told(tmp_path: Path) -> None:
    found = preview(tmp_path, "text,label\na,pos\nb,boh\nc,\n")
    assert found.report is not None
    assert found.report.refused.by_reason == {Refusal.UNKNOWN_LABEL: 1, Refusal.MISSING_LABEL: 1}
    assert [(one.raw, one.meaning) for one in found.labels] == [("pos", "positive"), ("boh", None)]


def test_numbers_of_another_scale_mean_nothing_until_somebody_says_so(tmp_path: Path) -> None:
    content = "text,label\na,0\nb,1\nc,0\n"
    found = preview(tmp_path, content)
    assert [one.meaning for one in found.labels] == [None, None]
    assert found.report is None
    assert found.problem_saying == "numbers_unclear"
    said = preview(tmp_path, content, label_map={"0": "negative", "1": "positive"})
    assert [one.meaning for one in said.labels] == ["negative", "positive"]
    assert said.report is not None
    assert said.report.kept == 3


def test_columns_that_cannot_be_guessed_are_left_to_the_person(tmp_path: Path) -> None:
    found = preview(tmp_path, "a,b,c\nx,pos,1\ny,neg,2\n", text_column="a")
    assert (found.text_column, found.label_column, found.report) == ("a", None, None)
    assert found.problem_saying == "label_column_unknown"
    assert found.columns == ("a", "b", "c")


def test_rows_with_an_unwanted_label_are_left_out_on_purpose(tmp_path: Path) -> None:
    found = preview(tmp_path, "text,label\na,pos\nb,boh\n", label_map={"boh": None})
    assert found.report is not None
    assert found.report.refused.by_reason == {Refusal.LABEL_LEFT_OUT: 1}
    assert [one.left_out for one in found.labels] == [False, True]


def test_labels_that_differ_in_case_only_are_one(tmp_path: Path) -> None:
    found = preview(tmp_path, "text,label\na,POS\nb,pos\nc, Pos \n")
    assert [(one.raw, one.rows) for one in found.labels] == [("POS", 3)]


def test_of_very_many_labels_the_most_frequent_are_shown(tmp_path: Path) -> None:
    rows = "".join(f"testo {n},etichetta {n}\n" for n in range(80))
    found = preview(tmp_path, f"text,label\n{rows}x,pos\ny,pos\n")
    assert (len(found.labels), found.other_labels) == (50, 31)
    assert found.labels[0].raw == "pos"


def test_a_file_of_which_nothing_can_be_used_still_shows_itself(tmp_path: Path) -> None:
    found = preview(tmp_path, "text,label\na,buono\nb,cattivo\n")
    assert found.problem_saying == "file_nothing_usable"
    assert found.report is not None
    assert found.report.refused.count == 2


def test_a_file_without_a_header_says_so(tmp_path: Path) -> None:
    found = preview(tmp_path, "Ottimo prodotto,positive\nPessimo,negative\n")
    assert (found.has_header, found.text_column) == (False, "column 1")


def test_cells_are_cut(tmp_path: Path) -> None:
    found = preview(tmp_path, f"text,label\n{'x' * 5000},pos\n")
    assert len(found.first[0].cells[0]) == 200


@pytest.mark.parametrize(
    ("content", "name", "error"),
    [("", "x.csv", InvalidInput), ("text,label\n", "x.exe", UnsupportedFormat)],
)
def test_what_can_be_read_in_no_way_is_refused(
    tmp_path: Path, content: str, name: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        preview(tmp_path, content, name)
