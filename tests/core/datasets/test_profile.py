"""A version at a glance."""

import pytest

from sentops_core.datasets import profile as module
from sentops_core.datasets.draft import Member
from sentops_core.datasets.profile import lengths_of, profile_of
from sentops_core.datasets.split import Split
from sentops_core.domain.text import content_hash

LONG = "questo zaino rosso è comodo e robusto, lo consiglio a tutti quelli che viaggiano spesso"


def a_member(text: str, *, language: str | None = "it", source: str = "upload:reviews") -> Member:
    return Member(content_hash(text), text, "positive", Split.TRAIN, source, language)


def test_lengths_are_counted_by_bars_whose_ends_belong_to_them() -> None:
    lengths = lengths_of([1, 20, 21, 2_000, 2_001])
    assert lengths.counts == (2, 1, 0, 0, 0, 0, 1, 1)
    assert (lengths.median, lengths.longest) == (21, 2_001)


def test_of_nothing_nothing_is_known() -> None:
    profile = profile_of([])
    assert (profile.lengths.median, profile.lengths.longest) == (None, None)
    assert profile.near_duplicates.count == 0


def test_languages_and_sources_are_counted_the_unknown_too() -> None:
    profile = profile_of([a_member("a"), a_member("b", language=None), a_member("c", source="x")])
    assert profile.languages == {"it": 2, "": 1}
    assert profile.sources == {"upload:reviews": 2, "x": 1}


def test_near_duplicates_are_found_with_the_most_similar_first() -> None:
    texts = [
        LONG,
        f"{LONG} davvero",
        LONG.upper() + "!!!",
        "del tutto diverso da ogni altro testo qui",
    ]
    found = profile_of([a_member(text) for text in texts]).near_duplicates
    assert found.count == 2
    assert [pair.similarity for pair in found.pairs] == [1.0, found.pairs[1].similarity]
    assert 0.8 <= found.pairs[1].similarity < 1
    assert found.pairs[0].one == content_hash(LONG).hex()
    assert found.pairs[0].other == content_hash(texts[2]).hex()


def test_in_short_texts_one_word_is_a_difference() -> None:
    assert (
        profile_of([a_member("molto buono"), a_member("molto brutto")]).near_duplicates.count == 0
    )


def test_of_very_many_rows_near_duplicates_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_COMPARED_ROWS", 1)
    found = profile_of([a_member(LONG), a_member(LONG + " sì")]).near_duplicates
    assert (found.count, found.pairs) == (None, ())
