"""What a training leaves to compare with later."""

import json
import random
from collections import Counter
from itertools import pairwise
from statistics import mean, variance

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.feature_extraction.text import CountVectorizer

from sentops_core.domain.reference import (
    MOST_KNOWN_WORDS,
    HeldOutAnswer,
    ReferenceProfile,
    ReferenceText,
    count_words,
    count_words_of,
    design_effect,
    known_words,
    profile_of,
    word_hashes,
)
from sentops_core.domain.tallies import WORD_SLOTS, AnswerTally, total_answers
from tests.support.drift_texts import reference_of, some_texts

REVIEWS = some_texts(400, "en", seed=1)
HELD_OUT = some_texts(120, "en", seed=2)


@given(st.randoms(use_true_random=False))
def test_the_order_of_the_rows_makes_no_difference(chance: random.Random) -> None:
    training, held_out = REVIEWS[:60], HELD_OUT[:60]
    first = reference_of(training, held_out).model_dump_json()
    shuffled = chance.sample(training, len(training)), chance.sample(held_out, len(held_out))
    assert reference_of(*shuffled).model_dump_json() == first


def test_words_are_counted_as_scikit_learn_counts_them() -> None:
    texts, later = [one.text for one in REVIEWS], [one.text for one in HELD_OUT]
    counter = CountVectorizer(binary=True, token_pattern=r"[^\W_]+", min_df=2)
    table = counter.fit_transform(texts)
    profile = reference_of(REVIEWS, HELD_OUT)
    assert {*profile.vocabulary} == {hashed(word) for word in counter.vocabulary_}
    every = CountVectorizer(binary=True, token_pattern=r"[^\W_]+").fit(texts + later)
    slots = Counter[int]()
    for word, count in zip(
        every.get_feature_names_out(), every.transform(texts).sum(axis=0).A1, strict=True
    ):
        slots[hashed(word) % WORD_SLOTS] += count
    assert profile.word_slots == tuple(slots[slot] for slot in range(WORD_SLOTS))
    words = every.transform(later).sum()
    assert profile.held_out.words == words
    assert profile.held_out.unseen_words == words - counter.transform(later).sum()
    assert table.sum() > 0


def hashed(word: str) -> int:
    (one,) = word_hashes(word)
    return one


def test_a_word_counts_once_a_text_in_any_case_and_a_number_is_a_number() -> None:
    assert count_words("Bello, BELLO! bello... l'hotel_2 costa 30€ o 1.200", None).words == 6
    assert word_hashes("STRASSE 7") == word_hashes("straße 12")
    counted = count_words("good and new", frozenset({hashed("good"), hashed("and")}))
    assert (counted.words, counted.unseen) == (3, 1)


def test_a_long_text_does_not_outweigh_the_others() -> None:
    endless = " ".join(f"{one}word" for one in map(str, range(10**5)))
    assert (
        count_words(endless.translate(str.maketrans("0123456789", "abcdefghij")), None).words < 500
    )


@pytest.mark.parametrize("text", ["", "  \n", "!!! 👍", "\ud800"])
def test_a_text_without_words_counts_as_one(text: str) -> None:
    counted = count_words_of([text], frozenset())
    assert (counted.texts, counted.words, counted.unseen) == (1, 0, 0)


def test_a_word_of_one_text_only_is_not_kept() -> None:
    rows = [ReferenceText(f"shared words and secret{chr(97 + one)}", None) for one in range(20)]
    assert {*profile_of(rows, []).vocabulary} == word_hashes("shared words and")


def test_of_very_many_words_the_commonest_are_kept() -> None:
    frequency = Counter({word: 2 + word % 50 for word in range(3 * MOST_KNOWN_WORDS)})
    kept = known_words(frequency)
    assert len(kept) == MOST_KNOWN_WORDS
    assert all(one < other for one, other in pairwise(kept))
    left = frequency.keys() - set(kept)
    assert min(frequency[word] for word in kept) >= max(frequency[word] for word in left)


def test_the_design_effect_is_what_texts_drawn_again_show() -> None:
    """Unseen words that come together: the share varies more than of words drawn one by one."""
    chance = random.Random(4)

    def texts(count: int) -> list[tuple[int, int]]:
        made = []
        for _ in range(count):
            words = chance.randint(3, 30)
            rate = chance.choice((0.02, 0.5))
            made.append((words, sum(chance.random() < rate for _ in range(words))))
        return made

    shares, drawn = [], 300
    for _ in range(drawn):
        sample = texts(200)
        shares.append(sum(part for _, part in sample) / sum(total for total, _ in sample))
    words = 200 * 16.5
    simple = mean(shares) * (1 - mean(shares)) / words
    assert design_effect(texts(4000)) == pytest.approx(variance(shares) / simple, rel=0.2)
    assert design_effect([(10, 2)] * 50) == 1  # what varies less is not trusted to


def test_a_profile_reads_back_and_stays_small() -> None:
    chance = random.Random(2)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=8)) for _ in range(12_000)]
    rows = [ReferenceText(" ".join(words[at : at + 12]), "en") for at in range(0, 12_000, 6)]
    profile = profile_of(rows, [HeldOutAnswer("fine", "positive", 1.0)] * 60)
    written = profile.model_dump_json()
    assert len(profile.vocabulary) == MOST_KNOWN_WORDS
    assert len(written) < 100_000
    assert ReferenceProfile.model_validate_json(written) == profile


def test_a_profile_of_nothing_is_one() -> None:
    profile = profile_of([], [])
    assert (profile.texts, profile.held_out.texts, profile.held_out.unseen_spread) == (0, 0, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "sentops-reference/2"},
        {"lengths": [1, 2, 3]},
        {"word_slots": [0] * 255},
        {"vocabulary": [2**32]},
        {"texts": -1},
        {"words": ["bello"]},
        {"texts": 10**300},
        {"languages": {"en\x00": 1}},
        {"held_out": {"words": 5, "unseen_words": 6}},
    ],
)
def test_a_profile_that_is_none_is_refused(change: dict[str, object]) -> None:
    document = json.loads(reference_of(REVIEWS, HELD_OUT).model_dump_json())
    with pytest.raises(ValidationError):
        ReferenceProfile.model_validate(merged(document, change))


def merged(document: dict[str, object], change: dict[str, object]) -> dict[str, object]:
    held_out = {**document["held_out"], **change.get("held_out", {})}  # type: ignore[dict-item]
    return document | change | {"held_out": held_out}


def test_a_profile_that_is_whole_is_not_refused() -> None:
    document = json.loads(reference_of(REVIEWS, HELD_OUT).model_dump_json())
    assert ReferenceProfile.model_validate(merged(document, {"held_out": {"unseen_words": 1}}))


def test_words_of_which_some_were_not_looked_up_have_no_unseen_share() -> None:
    """A reference that came late: the ten minutes before it were counted without."""
    before = AnswerTally(answers=1, sampled=1, words=7)
    after = AnswerTally(answers=1, sampled=1, words=5, unseen_words=2)
    silent = AnswerTally(answers=1)
    assert (before + after).unseen_words is None
    assert (after + before).unseen_words is None
    assert total_answers([silent, after, silent, after]).unseen_words == 4
