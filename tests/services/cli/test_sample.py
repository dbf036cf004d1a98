"""The sample data: label rule, groups, and the pinned archive."""

import csv
import hashlib
import io
from collections import Counter
from pathlib import Path

import pytest

from sentops_cli import sample
from sentops_cli.outcome import CommandError
from tests.services.cli.archives import SNIPPETS, sdist


def test_the_mean_rating_decides_the_label_and_half_a_point_is_neutral() -> None:
    rows = list(sample.review_snippets(SNIPPETS))
    assert [row.label for row in rows] == ["negative", "neutral", "neutral", "positive", "positive"]


def test_sentences_of_one_review_share_a_group() -> None:
    rows = list(sample.review_snippets(SNIPPETS))
    assert Counter(row.group for row in rows) == {
        "amazon-review:1": 3,
        "amazon-review:2": 1,
        "amazon-review:10": 1,
    }


def test_a_snippet_of_fewer_than_two_letters_is_left_out() -> None:
    assert "$ 300" not in [row.text for row in sample.review_snippets(SNIPPETS)]


def test_a_line_of_another_shape_is_named() -> None:
    with pytest.raises(CommandError, match="Line 2 of the review snippets"):
        list(sample.review_snippets("1_1\t0.1\tfine\nnonsense\n"))


def test_the_snippets_are_read_from_the_archive_in_the_archive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = sdist()
    monkeypatch.setattr(sample, "SDIST_SHA256", hashlib.sha256(content).hexdigest())
    assert sample.snippets_in(content) == SNIPPETS


def test_another_sdist_than_the_pinned_one_is_refused() -> None:
    with pytest.raises(CommandError, match="not the pinned"):
        sample.snippets_in(sdist())


async def test_a_kept_sdist_is_not_downloaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = sdist()
    monkeypatch.setattr(sample, "SDIST_SHA256", hashlib.sha256(content).hexdigest())
    (tmp_path / "vaderSentiment-3.3.2.tar.gz").write_bytes(content)
    assert await sample.fetch_sdist(tmp_path) == content


async def test_an_index_out_of_reach_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(CommandError, match=r"pip could not download vaderSentiment==3\.3\.2"):
        await sample.fetch_sdist(tmp_path / "sample")
    assert list((tmp_path / "sample").iterdir()) == []


def test_a_csv_of_the_sample_reads_back_as_it_was() -> None:
    rows = list(sample.review_snippets(SNIPPETS))
    read = list(csv.DictReader(io.StringIO(sample.as_csv(rows).decode())))
    assert [(row["text"], row["label"], row["group"]) for row in read] == [
        (row.text, row.label, row.group) for row in rows
    ]


def test_the_italian_sentences_are_balanced_and_do_not_hold_what_people_try_first() -> None:
    rows = list(sample.italian_phrases())
    texts = [row.text.casefold() for row in rows]
    counts = Counter(row.label for row in rows)
    assert len(rows) >= 100
    assert len(set(texts)) == len(rows)
    assert max(counts.values()) - min(counts.values()) <= len(rows) // 10
    assert set(counts) == {"positive", "neutral", "negative"}
    assert not any(text.strip(".! ") == "ottimo prodotto" for text in texts)
    assert not any("si è rotto subito" in text for text in texts)
