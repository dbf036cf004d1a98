"""The texts that a benchmark asks for."""

from pathlib import Path

import pytest

from benchmarks.support.texts import made_up_reviews, texts_of


def test_made_up_reviews_are_the_same_everywhere_and_all_different() -> None:
    made = made_up_reviews(300)
    assert made == made_up_reviews(300)
    assert len(set(made)) == 300
    assert 30 < sum(map(len, made)) / len(made) < 150


def test_a_csv_gives_its_column_text_and_any_other_file_its_lines(tmp_path: Path) -> None:
    table, lines = tmp_path / "a.csv", tmp_path / "a.txt"
    table.write_text('label,text\npositive,"good, really"\nnegative,bad\nnegative,bad\n')
    lines.write_text("good, really\n\nbad\n")
    assert texts_of(table) == texts_of(lines) == ["good, really", "bad"]


def test_a_file_without_texts_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("\n")
    with pytest.raises(SystemExit, match="holds no texts"):
        texts_of(empty)
