"""A spreadsheet export with everything wrong with it: each row is kept as meant, or refused with its reason."""

import json
from pathlib import Path

import pytest

from sentops_core.datasets.reading import Reading, read_file
from sentops_core.datasets.report import Refusal

DATA = Path(__file__).parents[2] / "data"
SHARED = Path(__file__).parents[4] / "shared" / "data"

WORDS_OF_REASONS = {
    Refusal.EMPTY_TEXT: ("empty text",),
    Refusal.EMPTY_ROW: ("empty row", "empty line"),
    Refusal.DUPLICATE: ("duplicate",),
    Refusal.CONFLICT: ("conflict",),
    Refusal.UNKNOWN_LABEL: ("unknown label",),
    Refusal.MISSING_LABEL: ("missing label",),
    Refusal.RAGGED_ROW: ("ragged row",),
}


@pytest.fixture(scope="module")
def reading() -> Reading:
    return read_file(DATA / "messy_upload.csv", "messy_upload.csv")


def test_the_columns_are_found_behind_a_byte_order_mark(reading: Reading) -> None:
    report = reading.report
    assert (report.delimiter, report.text_column, report.label_column, report.id_column) == (
        ";",
        "Commento Cliente",
        "Voto",
        "Codice ID",
    )


def test_good_rows_are_kept_with_the_label_of_their_stars(reading: Reading) -> None:
    assert [(row.row_id, row.text, row.label) for row in reading.rows] == [
        ("a1", "Consegna puntuale e pacco intatto", "positive"),
        ("a2", "Si è rotto al primo lavaggio", "negative"),
        ("a3", "Il tè è così così, né buono né cattivo", "neutral"),
        ("a4", 'Diceva "come nuovo"; era graffiato', "negative"),
        ("a5", 'Montaggio facile.\nIstruzioni "chiare".\n\nConsigliato.', "positive"),
        ("a8", "works as described, no complaints", "positive"),
        ("a15", "Leggero e comodo", "positive"),
        ("a16", "Cerniera difettosa", "negative"),
        ("a17", "Bellissimo 😍👍🏽 lo adoro!!!", "positive"),
        ("a18", "Tutto ok &amp; grazie<br>ciao", "positive"),
        ("a19", "L’ho reso: “usato” – 15 € persi", "negative"),
        ("a20", " ".join(["bello"] * 350), "positive"),
        ("a21", "it is fine, nothing special", "neutral"),
        ("a24", "Batteria eterna", "positive"),
        ("a25", "=1+2 è una formula, prodotto pessimo", "negative"),
        ("a26", "Qualità discreta, prezzo giusto", "neutral"),
        ("a27", "Campi vuoti in più sono innocui", "positive"),
        ("a28", "last line without an end", "neutral"),
    ]


def test_each_other_row_is_refused_with_its_line_and_reason(reading: Reading) -> None:
    refused = reading.report.refused
    assert [(row.row, row.row_id, row.reason) for row in refused.first] == [
        (10, "a6", Refusal.EMPTY_TEXT),
        (11, "a7", Refusal.EMPTY_TEXT),
        (12, "", Refusal.EMPTY_ROW),
        (13, "", Refusal.EMPTY_ROW),
        (15, "a9", Refusal.DUPLICATE),
        (16, "a10", Refusal.DUPLICATE),
        (17, "a11", Refusal.CONFLICT),
        (18, "a12", Refusal.UNKNOWN_LABEL),
        (19, "a13", Refusal.UNKNOWN_LABEL),
        (20, "a14", Refusal.MISSING_LABEL),
        (28, "a22", Refusal.RAGGED_ROW),
        (29, "a23", Refusal.RAGGED_ROW),
    ]
    assert refused.first[6].message == "the same text as row a2, which is negative, not positive"


def test_rows_that_were_no_utf_8_are_counted(reading: Reading) -> None:
    assert reading.report.repaired_lines == 2


def test_every_row_is_either_kept_or_refused(reading: Reading) -> None:
    report = reading.report
    assert report.rows == report.kept + report.refused.count == 30
    assert sum(report.refused.by_reason.values()) == report.refused.count


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not beside this clone")
def test_the_shared_messy_file_gives_exactly_what_is_expected() -> None:
    expected = json.loads((SHARED / "messy_upload.expected.json").read_text(encoding="utf-8"))
    read = read_file(SHARED / "messy_upload.csv", "messy_upload.csv")
    report = read.report
    assert [report.delimiter, report.text_column, report.label_column, list(report.columns)] == [
        expected["delimiter"],
        expected["text_column"],
        expected["label_column"],
        expected["header"],
    ]
    assert [(row.row_id, row.text, row.label) for row in read.rows] == [
        (row["row_id"], row["text"], row["label"]) for row in expected["rows"]
    ]
    assert (report.kept, report.refused.count) == (expected["kept"], expected["dropped"])
    for row, wanted in zip(report.refused.first, expected["rejected"], strict=True):
        assert row.row_id == wanted["row_id"]
        assert wanted["reason"].startswith(WORDS_OF_REASONS[row.reason])
