"""Texts of two kinds, as different as a shop's reviews and people's short messages, and counts of them."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sentops_core.domain.reference import (
    HeldOutAnswer,
    ReferenceProfile,
    ReferenceText,
    count_words_of,
    profile_of,
)
from sentops_core.domain.tallies import (
    CONFIDENCE_BINS,
    LENGTH_EDGES,
    AnswerTally,
    confidence_bin,
    length_bin,
)

LABELS = ("negative", "neutral", "positive")
_COMMON = {
    "en": "the and it is was for of to a i my this with not very but have in that on so they when",
    "it": "che di e la il un non è per mi ma si con sono le a in lo ho del una come più",
}
# A text is about one thing, so its words come together.
_TOPICS = {
    "en": (
        "camera picture lens zoom flash photos bright dark",
        "battery charge hours power cable lasts dead charger",
        "screen colour sharp glass scratch large small touch",
        "delivery box late courier arrived broken packed days",
        "price money worth cheap cost paid refund shop",
        "sound music headphones bass loud quiet ears song",
    ),
    "it": (
        "governo voto elezioni partito ministro legge tasse paese",
        "partita gol squadra arbitro campionato tifosi stadio mister",
        "scuola prof compiti esame voti lezione banco maestra",
        "treno ritardo binario coda autobus traffico sciopero pioggia",
        "canzone concerto palco cantante disco festival album radio",
        "caffè pizza cena fame dolce ricetta forno pranzo",
    ),
}
_JUDGEMENTS = {
    "en": "great terrible good bad fine awful perfect poor average excellent",
    "it": "bello brutto ottimo pessimo bravo triste felice noioso perfetto schifo",
}
_SYLLABLES = ("ba", "co", "du", "fe", "gi", "lo", "mu", "na", "pe", "ri", "so", "ta", "vu", "ze")


@dataclass(frozen=True)
class Answered:
    text: str
    language: str | None
    label: str
    score: float


def some_texts(
    count: int,
    language: str,
    *,
    seed: int,
    words: tuple[int, int] = (5, 30),
    label_weights: Sequence[float] = (3, 2, 5),
    sureness: float = 5,
) -> list[Answered]:
    """Answered texts; `words` bounds their length, a greater `sureness` makes scores higher."""
    chance = random.Random(f"{seed} {language}")
    common, judging = _COMMON[language].split(), _JUDGEMENTS[language].split()
    made = []
    for _ in range(count):
        topic = chance.choice(_TOPICS[language]).split()
        kinds = chance.choices(("common", "topic", "judging", "rare"), (8, 4, 1, 1), k=1000)
        said = []
        for kind in kinds[: chance.randint(*words)]:
            match kind:
                case "common":  # as Zipf says
                    rank = int(len(common) ** chance.random()) - 1
                    said.append(common[rank])
                case "topic":
                    said.append(chance.choice(topic))
                case "judging":
                    said.append(chance.choice(judging))
                case _:
                    said.append("".join(chance.choices(_SYLLABLES, k=4)))
        score = 1 / 3 + 2 / 3 * chance.betavariate(sureness, 1.5)
        label = chance.choices(LABELS, label_weights)[0]
        made.append(Answered(" ".join(said), language, label, score))
    return made


def reference_of(training: Sequence[Answered], held_out: Sequence[Answered]) -> ReferenceProfile:
    return profile_of(
        [ReferenceText(one.text, one.language) for one in training],
        [HeldOutAnswer(one.text, one.label, one.score) for one in held_out],
    )


def tally_of(answers: Sequence[Answered], reference: ReferenceProfile | None) -> AnswerTally:
    """As the monitor counts them, every text's words included."""
    known = None if reference is None else reference.known_words()
    words = count_words_of([one.text for one in answers], known)
    lengths = Counter(length_bin(len(one.text)) for one in answers)
    scores = {
        label: Counter(confidence_bin(one.score) for one in answers if one.label == label)
        for label in {one.label for one in answers}
    }
    return AnswerTally(
        answers=len(answers),
        labels=Counter(one.label for one in answers),
        confidences={
            label: tuple(counts[number] for number in range(CONFIDENCE_BINS))
            for label, counts in scores.items()
        },
        lengths=tuple(lengths[number] for number in range(len(LENGTH_EDGES) + 1)),
        sampled=words.texts,
        words=words.words,
        unseen_words=words.unseen,
        word_slots=words.slots,
    )


def languages_of(answers: Sequence[Answered]) -> dict[str, int]:
    return Counter(one.language or "unknown" for one in answers)
