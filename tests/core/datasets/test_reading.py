"""Files of every kind, good and bad, as rows or as one sentence that says what to change."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sentops_core.datasets.limits import Limits
from sentops_core.datasets.reading import Reading, ReadOptions, read_file
from sentops_core.datasets.report import Refusal
from sentops_core.domain.errors import InvalidInput, TooLarge, UnsupportedFormat

Send = Callable[..., Reading]


@pytest.fixture
def send(tmp_path: Path) -> Send:
    """Writes the content under a neutral name, as an upload's temporary file is, and reads it."""

    def reads(
        content: str | bytes,
        filename: str = "x.csv",
        *,
        limits: Limits | None = None,
        **options: object,
    ) -> Reading:
        path = tmp_path / "upload"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_file(path, filename, ReadOptions(**options), limits or Limits())  # type: ignore[arg-type]

    return reads


def rows_of(reading: Reading) -> list[tuple[str, str]]:
    return [(row.text, row.label) for row in reading.rows]


def reasons_of(reading: Reading) -> list[tuple[int, Refusal]]:
    return [(row.row, row.reason) for row in reading.report.refused.first]


GOOD = [("Great, really", "positive"), ("Awful", "negative"), ("It is ok", "neutral")]


def test_plain_csv(send: Send) -> None:
    assert (
        rows_of(send('text,label\n"Great, really",positive\nAwful,negative\nIt is ok,neutral\n'))
        == GOOD
    )


@pytest.mark.parametrize("delimiter", [";", "\t", "|", ","])
def test_any_usual_separator(send: Send, delimiter: str) -> None:
    lines = [["text", "label"], ["Great", "pos"], ["Awful", "NEG"]]
    content = "".join(delimiter.join(line) + "\r\n" for line in lines)
    assert rows_of(send(content)) == [("Great", "positive"), ("Awful", "negative")]


def test_a_separator_that_is_also_in_the_texts_is_not_confused(send: Send) -> None:
    content = "label;text\npositive;one, two, three\nnegative;a, b\n"
    assert rows_of(send(content)) == [("one, two, three", "positive"), ("a, b", "negative")]


def test_jsonl(send: Send) -> None:
    content = (
        '{"text": "Great, really", "label": "positive"}\n\n{"label": "negative", "text": "Awful", "more": [1]}\n'
        'not json\n[1, 2]\n{"text": ["a", "list"], "label": "neutral"}\n{"text": "It is ok", "label": 3, "x": 5}\n'
        '{"text": "Yes", "label": 5}\n'
    )
    reading = send(content, "x.jsonl")
    assert rows_of(reading) == [*GOOD, ("Yes", "positive")]
    assert reasons_of(reading) == [
        (2, Refusal.EMPTY_ROW),
        (4, Refusal.UNREADABLE),
        (5, Refusal.UNREADABLE),
        (6, Refusal.EMPTY_TEXT),
    ]


def test_half_an_emoji_in_json_is_replaced(send: Send) -> None:
    assert rows_of(send(r'{"text": "wow \ud83d", "label": "positive"}', "x.ndjson")) == [
        ("wow \ufffd", "positive")
    ]


def test_parquet(tmp_path: Path, send: Send) -> None:
    table = pa.table({"Testo": [text for text, _ in GOOD] + [None], "stelle": [5, 1, 3, 4]})
    pq.write_table(table, tmp_path / "x.parquet")
    reading = send((tmp_path / "x.parquet").read_bytes(), "x.parquet")
    assert rows_of(reading) == GOOD
    assert reasons_of(reading) == [(4, Refusal.EMPTY_TEXT)]


def test_a_truncated_parquet_file_is_refused(tmp_path: Path, send: Send) -> None:
    pq.write_table(
        pa.table({"text": ["a"] * 50, "label": ["positive"] * 50}), tmp_path / "x.parquet"
    )
    with pytest.raises(InvalidInput, match="Parquet"):
        send((tmp_path / "x.parquet").read_bytes()[:-20], "x.parquet")


def a_workbook(*rows: list[object], empty_first_sheet: bool = False) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.create_sheet() if empty_first_sheet else book.active
    assert sheet is not None
    for row in rows:
        sheet.append(row)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def test_a_workbook(send: Send) -> None:
    content = a_workbook(
        ["ID", "Recensione", "Stelle", None],
        ["r1", "Great, really", 5.0],
        [None, None, None],
        ["r2", "Awful", "1"],
        ["r3", "cell to the right", 1, "?", "?"],
        ["r4", "It is ok", 3],
        ["r5", None, 3],
        empty_first_sheet=True,
    )
    reading = send(content, "Voti.XLSX")
    assert rows_of(reading) == GOOD
    assert reasons_of(reading) == [
        (3, Refusal.EMPTY_ROW),
        (5, Refusal.RAGGED_ROW),
        (7, Refusal.EMPTY_TEXT),
    ]


def test_a_workbook_that_unpacks_to_too_much_is_refused_unread(send: Send) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * 3_000_000)
    with pytest.raises(TooLarge, match="unpacks to more than"):
        send(content.getvalue(), "x.xlsx", limits=Limits(uncompressed_bytes=2_000_000))


def test_a_workbook_with_entities_is_refused(send: Send) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("xl/workbook.xml", '<!DOCTYPE lolz [<!ENTITY lol "lol">]><workbook/>')
    with pytest.raises(InvalidInput, match="entities"):
        send(content.getvalue(), "x.xlsx")


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04 broken", b"hello", a_workbook(["text", "label"])[:900]]
)
def test_what_is_no_workbook_is_refused(send: Send, content: bytes) -> None:
    with pytest.raises(InvalidInput, match="workbook"):
        send(content, "x.xlsx")


def test_an_empty_workbook_is_refused(send: Send) -> None:
    with pytest.raises(InvalidInput, match="empty"):
        send(a_workbook(), "x.xlsx")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (a_workbook(["text", "label"]), "name it .xlsx"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, "a picture"),
        (bytes(range(256)) * 20, "binary file"),
        (b"%PDF-1.7 ...", "a PDF"),
        (b"\x1f\x8b\x08...", "unpack it first"),
    ],
)
def test_a_binary_renamed_to_csv_is_refused(send: Send, content: bytes, sentence: str) -> None:
    with pytest.raises(UnsupportedFormat, match=sentence):
        send(content, "x.csv")


def test_a_file_of_unknown_kind_is_refused(send: Send) -> None:
    with pytest.raises(UnsupportedFormat, match=r"send \.csv"):
        send("text,label\na,positive\n", "x.docx")


@pytest.mark.parametrize("content", ["", " \n\n "])
def test_an_empty_file_is_refused(send: Send, content: str) -> None:
    with pytest.raises(InvalidInput, match="empty"):
        send(content)


def test_a_header_without_rows_is_refused(send: Send) -> None:
    with pytest.raises(InvalidInput, match="no rows"):
        send("text,label\n")


def test_one_column_is_refused(send: Send) -> None:
    with pytest.raises(InvalidInput, match="one column"):
        send("text\nhello\n")


def test_a_file_of_which_nothing_can_be_used_says_why_and_shows_the_report(send: Send) -> None:
    with pytest.raises(InvalidInput, match="2 unknown label, 1 empty text") as refusal:
        send("text,label\na,buono\nb,meh\n,positive\n")
    assert refusal.value.details["report"]["refused"]["count"] == 3  # type: ignore[index]


def test_too_many_rows_are_refused(send: Send) -> None:
    with pytest.raises(TooLarge, match="more than 2 rows"):
        send("text,label\na,pos\nb,neg\nc,neu\n", limits=Limits(rows=2))


def test_a_text_that_is_too_long_is_refused_alone(send: Send) -> None:
    reading = send(f"text,label\n{'a' * 30},pos\nb,neg\n", limits=Limits(text_characters=20))
    assert rows_of(reading) == [("b", "negative")]
    assert reasons_of(reading) == [(2, Refusal.TOO_LONG)]


@pytest.mark.parametrize("filename", ["x.csv", "x.jsonl"])
def test_an_endless_line_is_refused_alone(send: Send, filename: str) -> None:
    rows = {
        "x.csv": ["text,label", "good,pos", "x" * 5_000 + ",pos", "bad,neg"],
        "x.jsonl": [
            '{"text": "good", "label": "pos"}',
            '{"text": "' + "x" * 5_000 + '", "label": "pos"}',
            '{"text": "bad", "label": "neg"}',
        ],
    }[filename]
    reading = send("\n".join(rows), filename, limits=Limits(line_bytes=1_000))
    assert rows_of(reading) == [("good", "positive"), ("bad", "negative")]
    assert list(reading.report.refused.by_reason) == [Refusal.TOO_LONG]


def test_a_quote_left_open_costs_only_its_own_line(send: Send) -> None:
    content = 'text,label\ngood,pos\n"never closed,pos\n' + "".join(
        f"text {n},neg\n" for n in range(20_000)
    )
    reading = send(content)
    assert len(reading.rows) == 20_001
    assert reasons_of(reading) == [(3, Refusal.UNREADABLE)]


def test_a_quote_left_open_in_the_last_column_costs_only_its_own_line(send: Send) -> None:
    reading = send('label,text\npos,good\nneg,"never closed\nneu,fine\n')
    assert rows_of(reading) == [("good", "positive"), ("fine", "neutral")]
    assert reasons_of(reading) == [(3, Refusal.UNREADABLE)]


def test_utf_16_as_excel_writes_it(send: Send) -> None:
    content = "testo\tvoto\r\nÈ bellissimo\t5\r\nNo\t1\r\n".encode("utf-16")
    assert rows_of(send(content, "x.txt")) == [("È bellissimo", "positive"), ("No", "negative")]


def test_the_line_ends_of_old_macs(send: Send) -> None:
    assert rows_of(send("text,label\rgood,pos\rbad,neg")) == [
        ("good", "positive"),
        ("bad", "negative"),
    ]


def test_one_broken_byte_does_not_spoil_the_rest_of_its_line(send: Send) -> None:
    reading = send(b"text,label\n" + "città ".encode() + b"perch\xe9,pos\n")
    assert rows_of(reading) == [("città perché", "positive")]
    assert reading.report.repaired_lines == 1


def test_two_columns_without_a_header(send: Send) -> None:
    reading = send("positive,good stuff\nnegative,bad stuff\n")
    assert rows_of(reading) == [("good stuff", "positive"), ("bad stuff", "negative")]


def test_named_columns_come_before_guesses(send: Send) -> None:
    content = "text,label,words,mood,thread\nno,positive,yes,neg,t1\n"
    reading = send(content, text_column="words", label_column=" Mood ", group_column="thread")
    assert [(row.text, row.label, row.group) for row in reading.rows] == [("yes", "negative", "t1")]


@pytest.mark.parametrize(
    ("header", "options", "sentence"),
    [
        ("a,b", {}, "label_column"),
        ("a,label", {}, "text_column"),
        ("review,recensione,label", {}, "'review', 'recensione' could each be the text"),
        ("text,label", {"text_column": "nope"}, "names 'nope'.*'text', 'label'"),
        ("text,label", {"label_column": "text"}, "cannot be both"),
        ("text,label", {"group_column": "thread"}, "group_column"),
        ("text,label", {"label_map": {"x": "angry"}}, "label_map turns 'x' into 'angry'"),
    ],
)
def test_columns_that_cannot_be_told_are_asked_for(
    send: Send, header: str, options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        send(f"{header}\nsome,positive,x\n", **options)


@pytest.mark.parametrize(
    "values",
    [
        ["0", "1", "0", "1"],
        ["-1", "0", "1"],
        ["0", "1", "2"],
        ["1", "2", "3"],
        ["2", "5", "8", "10"],
    ],
)
def test_numbers_that_are_not_clearly_stars_are_asked_for(send: Send, values: list[str]) -> None:
    content = "text,label\n" + "".join(f"text {n},{value}\n" for n, value in enumerate(values))
    with pytest.raises(InvalidInput, match="label_map"):
        send(content)


def test_a_label_map_says_what_numbers_and_words_mean(send: Send) -> None:
    reading = send(
        "text,label\na,0\nb,1\nc,Buono\nd,pos\n",
        label_map={"0": "negative", "1": "positive", "buono": "positive"},
    )
    assert [row.label for row in reading.rows] == ["negative", "positive", "positive", "positive"]


@pytest.mark.parametrize(
    ("raw", "label"),
    [
        ("5", "positive"), ("4,0", "positive"), ("3.5", "neutral"), (" 2 ", "negative"), ("1/5", "negative"),
        ("4 stelle", "positive"), ("★★★★☆", "positive"), ("⭐️", "negative"), ("NEGATIVO", "negative"),
        ("Neutro", "neutral"), ("👍", "positive"), ("👎", "negative"),
    ],
)  # fmt: skip
def test_stars_and_usual_names_are_understood(send: Send, raw: str, label: str) -> None:
    reading = send(f'testo,stelle\nuno,5\ndue,"{raw}"\n')
    assert reading.rows[1].label == label


@pytest.mark.parametrize("raw", ["0", "6", "buono", "true", "5 5", "NaN", "-1", "1e0"])
def test_other_labels_are_refused_row_by_row(send: Send, raw: str) -> None:
    good = "".join(f"testo {n},{n % 5 + 1}\n" for n in range(20))
    reading = send(f"testo,stelle\n{good}altro,{raw}\n")
    assert list(reading.report.refused.by_reason) == [Refusal.UNKNOWN_LABEL]
