"""Made-up reviews whose sentiment hangs on a few words, so that a tiny model can learn it in seconds."""

import csv
import io
import random

from tests.support.tiny_base import FILLERS, SENTIMENT_WORDS

_SYLLABLES = ("ba", "co", "du", "fe", "gi", "lo", "mu", "na", "pe", "ri", "so", "ta", "vu", "ze")


def some_reviews(count: int = 240, *, seed: int = 1) -> list[tuple[str, str]]:
    """(text, label) pairs, the labels in turn; invented words keep any two from being near-duplicates."""
    chance = random.Random(seed)
    labels = list(SENTIMENT_WORDS)
    reviews = []
    for number in range(count):
        label = labels[number % len(labels)]
        words = [*chance.sample(FILLERS, 3), *(_invented(chance) for _ in range(3))]
        words += chance.sample(SENTIMENT_WORDS[label], 2)
        chance.shuffle(words)
        reviews.append((" ".join(words), label))
    return reviews


def to_csv(reviews: list[tuple[str, str]]) -> bytes:
    output = io.StringIO()
    writer = csv.writer(output)
    writer.writerow(["text", "label"])
    writer.writerows(reviews)
    return output.getvalue().encode()


def _invented(chance: random.Random) -> str:
    return "".join(chance.choices(_SYLLABLES, k=4))
