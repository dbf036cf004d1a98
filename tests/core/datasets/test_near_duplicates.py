"""What counts as nearly the same text, in long texts and in short ones."""

import pytest

from sentops_core.datasets.near_duplicates import NearDuplicateIndex

LONG = "Ho comprato questo zaino per mio figlio e devo dire che dopo un mese di scuola è ancora come nuovo"


def near(one: str, other: str) -> bool:
    return NearDuplicateIndex.of([one]).nearest([other]) == [0]


@pytest.mark.parametrize(
    "twin",
    [
        LONG.upper() + "!!!",
        LONG.replace(" è ", " e' "),
        "Ciao! " + LONG,
        LONG.replace("zaino", "zainetto"),
        LONG.replace(" ", "\n"),
    ],
)
def test_small_changes_to_a_long_text_make_no_new_text(twin: str) -> None:
    assert near(LONG, twin)


@pytest.mark.parametrize(
    "other",
    [
        "Ho comprato questa borsa per mia figlia e dopo una settimana la cerniera si è già rotta",
        LONG[:40],
        "",
    ],
)
def test_another_text_is_another_text(other: str) -> None:
    assert not near(LONG, other)


def test_of_short_texts_only_case_and_punctuation_may_differ() -> None:
    assert near("Ottimo prodotto", "ottimo, prodotto!!!")
    assert not near("molto buono davvero", "molto brutto davvero")
    assert not near("mi piace", "non mi piace")
    assert not near("Ottimo prodotto", "Ottimo prodotto davvero")


def test_emoji_are_not_punctuation() -> None:
    assert not near("😍😍", "😡😡")
    assert not near("consegna 👍", "consegna 👎")
    assert not near("!!!", "???")


def test_the_twin_is_named() -> None:
    index = NearDuplicateIndex.of(["something else entirely that is long enough", LONG, "Bello"])
    assert index.nearest([LONG + ".", "bello!", "brutto"]) == [1, 2, None]


def test_an_empty_index_knows_nothing() -> None:
    assert NearDuplicateIndex.of([]).nearest([LONG, "x"]) == [None, None]
