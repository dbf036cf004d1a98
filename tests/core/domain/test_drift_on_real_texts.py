"""Drift on what people really wrote, where those files lie beside the repository."""

import csv
import random
from pathlib import Path

import pytest

from sentops_core.domain.drift import Feature, drift_of
from sentops_core.domain.text import normalise
from sentops_core.language import language_detector
from tests.support.drift_texts import Answered, languages_of, reference_of, tally_of

DATA = Path(__file__).parents[4] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real texts are not here")


def texts(name: str) -> list[Answered]:
    """In a random order; a model that is right four times of five answers them."""
    detect, chance = language_detector(), random.Random(name)
    rows = list(csv.DictReader((DATA / f"{name}.csv").open(encoding="utf-8")))
    chance.shuffle(rows)
    labels = sorted({row["label"] for row in rows})
    return [
        Answered(
            text := normalise(row["text"]),
            detect(text),
            row["label"] if chance.random() < 0.8 else chance.choice(labels),
            0.34 + 0.65 * chance.betavariate(4, 1.5),
        )
        for row in rows
    ]


def moved(training: list[Answered], now: list[Answered]) -> set[Feature]:
    cut = len(training) * 4 // 5
    reference = reference_of(training[:cut], training[cut:])
    return {
        one.feature
        for one in drift_of(reference, tally_of(now, reference), languages_of(now))
        if one.movement is not None and one.movement.drifted
    }


@pytest.mark.parametrize("name", ["amazon_reviews", "italian_tweets"])
@pytest.mark.parametrize("size", [150, 600])
def test_more_of_the_same_has_not_drifted(name: str, size: int) -> None:
    assert moved(texts(f"{name}_train"), texts(f"{name}_test")[:size]) == set()


@pytest.mark.parametrize("size", [150, 600])
def test_italian_tweets_are_not_english_reviews(size: int) -> None:
    found = moved(texts("amazon_reviews_train"), texts("italian_tweets_test")[:size])
    assert found >= {Feature.LANGUAGE, Feature.WORDS, Feature.UNSEEN_WORDS, Feature.LABELS}


@pytest.mark.parametrize(
    ("before", "now"),
    [("amazon_reviews_train", "tweets_train"), ("tweets_train", "movie_snippets_train")],
)
def test_another_kind_of_texts_in_the_same_language_has_other_words(before: str, now: str) -> None:
    found = moved(texts(before), texts(now)[:300])
    assert found >= {Feature.WORDS, Feature.UNSEEN_WORDS}
    assert Feature.LANGUAGE not in found
