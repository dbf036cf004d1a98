"""The normal form of a text and the hash of what it says."""

from hypothesis import given
from hypothesis import strategies as st

from sentops_core.domain.text import content_hash, normalise

ODD_CHARACTERS = (
    " \t\n\r\x00\x0b\x0c\x1c\x1f\x7f\x85\xa0\u2028\u2029\u200b\u3000\ufeffaeè\u0301\ud83d😍"
)
texts = st.one_of(st.text(), st.text(alphabet=ODD_CHARACTERS))


@given(texts)
def test_normalising_twice_is_normalising_once(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once


@given(texts)
def test_a_normalised_text_can_be_stored(text: str) -> None:
    normal = normalise(text)
    assert "\x00" not in normal
    normal.encode()


@given(texts)
def test_the_hash_is_that_of_the_normalised_text(text: str) -> None:
    assert content_hash(text) == content_hash(normalise(text))


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)))
def test_a_plain_text_folds_like_one_with_other_letters(text: str) -> None:
    assert normalise(f"è {text}") == f"è {normalise(text)}".strip()


def test_line_breaks_stay_and_other_white_space_folds() -> None:
    assert (
        normalise("  Prima\u00a0 riga\t qui \r\n\r\n dopo\rfine ") == "Prima riga qui\n\ndopo\nfine"
    )


def test_composed_and_decomposed_letters_are_one() -> None:
    assert normalise("caffe\u0300") == "caffè"
    assert content_hash("caffe\u0300") == content_hash("caffè")


def test_texts_that_differ_only_in_white_space_have_one_hash() -> None:
    assert content_hash("a b\nc") == content_hash("  a  b c\u00a0")


def test_case_and_punctuation_are_part_of_the_text() -> None:
    assert len({content_hash(text) for text in ("Bello", "bello", "bello!")}) == 3


def test_half_an_emoji_does_not_break_anything() -> None:
    assert normalise("bello \ud83d") == "bello \ufffd"
