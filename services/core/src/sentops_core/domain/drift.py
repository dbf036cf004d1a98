"""Whether what is asked and answered has moved from what the version was trained on, and how far.

A feature has drifted when three things hold: more moved than chance would do (a test), so far that it matters (a
floor on the distance), and there was enough to look at. The test alone would call anything drift once there are a
million rows; the distance alone would call anything drift in a quiet hour.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sentops_core.domain.reference import ReferenceProfile
from sentops_core.domain.tallies import AnswerTally, added

# An hour's window is looked at 8,760 times a year: at this level chance alone speaks nine times.
ALPHA = 0.001
# Of the Jensen-Shannon distance; what Evidently and NannyML take by default.
FLOOR = 0.1
MIN_SAMPLES = 100
MIN_REFERENCE_SAMPLES = 50
_MIN_EXPECTED = 5  # in each cell, for the chi-square distribution to be near enough (Cochran, Biometrics 10, 1954)
_CANNOT_BE_CHANCE = 20  # where fewer than 5 are expected: once in three million times

Pairs = Sequence[tuple[int, int]]  # (now, in the reference) by category


class Feature(StrEnum):
    LENGTH = "length"  # of the texts, in characters
    LANGUAGE = "language"
    WORDS = "words"
    UNSEEN_WORDS = "unseen_words"  # share of the words that are none of the training's common ones
    LABELS = "labels"  # of the answers
    CONFIDENCE = "confidence"


@dataclass(frozen=True)
class Movement:
    """`distance`: Jensen-Shannon, 0 to 1, less what chance makes of samples this small."""

    distance: float
    p_value: float
    adjusted_p_value: float  # for all features looked at together
    drifted: bool


@dataclass(frozen=True)
class FeatureDrift:
    """Samples are texts. `unknown` says in a sentence why there is no movement to tell of."""

    feature: Feature
    samples: int
    reference_samples: int
    movement: Movement | None
    unknown: str | None = None


@dataclass(frozen=True)
class DriftFigures:
    """One version over one window. Without a reference there are no features, and `unknown` says why."""

    model_version: str
    window: str
    features: tuple[FeatureDrift, ...]
    unknown: str | None = None


def drift_of(
    reference: ReferenceProfile, answers: AnswerTally, languages: Mapping[str, int]
) -> tuple[FeatureDrift, ...]:
    """Every feature of one version and window. `languages` counts the answers by language."""
    looks = [_Look.at(comparison) for comparison in _comparisons(reference, answers, languages)]
    tested = [look for look in looks if look.unknown is None]
    adjusted = dict(
        zip(
            (look.comparison.feature for look in tested),
            holm([look.p_value for look in tested]),
            strict=True,
        )
    )
    return tuple(look.judged(adjusted.get(look.comparison.feature)) for look in looks)


@dataclass(frozen=True)
class _Comparison:
    """`spread` as in HeldOut."""

    feature: Feature
    samples: int
    reference_samples: int
    pairs: Pairs
    reference_unit: str = "training texts"
    spread: float = 1.0
    unknown: str | None = None


def _comparisons(
    reference: ReferenceProfile, answers: AnswerTally, languages: Mapping[str, int]
) -> tuple[_Comparison, ...]:
    held_out = reference.held_out
    lengths = answers.lengths or (0,) * len(reference.lengths)
    slots = answers.word_slots or (0,) * len(reference.word_slots)
    confidences = _summed(answers.confidences)
    reference_confidences = _summed(held_out.confidences)
    empty = (0,) * max(len(confidences), len(reference_confidences))
    unseen = answers.unseen_words or 0
    return (
        _Comparison(
            Feature.LENGTH,
            sum(lengths),
            reference.texts,
            tuple(zip(lengths, reference.lengths, strict=True)),
        ),
        _Comparison(
            Feature.LANGUAGE,
            sum(languages.values()),
            reference.texts,
            _by_name(languages, reference.languages),
        ),
        _Comparison(
            Feature.WORDS,
            answers.sampled,
            reference.texts,
            tuple(zip(slots, reference.word_slots, strict=True)),
        ),
        _Comparison(
            Feature.UNSEEN_WORDS,
            answers.sampled,
            held_out.texts,
            (
                (unseen, held_out.unseen_words),
                (answers.words - unseen, held_out.words - held_out.unseen_words),
            ),
            reference_unit="held-out texts",
            spread=held_out.unseen_spread,
            unknown=(
                "The words were counted before it was known which ones the version has seen."
                if answers.words and answers.unseen_words is None
                else None
            ),
        ),
        _Comparison(
            Feature.LABELS,
            answers.answers,
            held_out.texts,
            _by_name(answers.labels, held_out.labels),
            reference_unit="held-out texts",
        ),
        _Comparison(
            Feature.CONFIDENCE,
            answers.answers,
            held_out.texts,
            tuple(zip(confidences or empty, reference_confidences or empty, strict=True)),
            reference_unit="held-out texts",
        ),
    )


@dataclass(frozen=True)
class _Look:
    """One feature before the others are taken into account."""

    comparison: _Comparison
    distance: float = 0.0
    p_value: float = 1.0
    unknown: str | None = None

    @classmethod
    def at(cls, comparison: _Comparison) -> "_Look":
        if comparison.samples < MIN_SAMPLES:
            return cls(
                comparison,
                unknown=f"{comparison.samples} texts are too few to say: it takes {MIN_SAMPLES}.",
            )
        if comparison.reference_samples < MIN_REFERENCE_SAMPLES:
            return cls(
                comparison,
                unknown=f"The version has {comparison.reference_samples} {comparison.reference_unit} to compare "
                f"with: it takes {MIN_REFERENCE_SAMPLES}.",
            )
        if comparison.unknown is not None:
            return cls(comparison, unknown=comparison.unknown)
        if not all(map(sum, zip(*comparison.pairs, strict=True))):
            return cls(comparison, unknown="There is nothing in the texts to count.")
        groups = grouped(comparison.pairs)
        return cls(
            comparison,
            distance=beyond_chance(groups, spread=comparison.spread),
            p_value=homogeneity(groups, spread=comparison.spread),
        )

    def judged(self, adjusted_p_value: float | None) -> FeatureDrift:
        movement = None
        if adjusted_p_value is not None:
            drifted = adjusted_p_value < ALPHA and self.distance >= FLOOR
            movement = Movement(self.distance, self.p_value, adjusted_p_value, drifted)
        return FeatureDrift(
            feature=self.comparison.feature,
            samples=self.comparison.samples,
            reference_samples=self.comparison.reference_samples,
            movement=movement,
            unknown=self.unknown,
        )


def _summed(bins: Mapping[str, Sequence[int]]) -> tuple[int, ...]:
    total: tuple[int, ...] = ()
    for counts in bins.values():
        total = added(total, tuple(counts))
    return total


def _by_name(now: Mapping[str, int], reference: Mapping[str, int]) -> Pairs:
    """The commonest first, so that what is thin is pooled with what is thin."""
    names = sorted(
        now.keys() | reference.keys(),
        key=lambda name: (-now.get(name, 0) - reference.get(name, 0), name),
    )
    return tuple((now.get(name, 0), reference.get(name, 0)) for name in names)


def grouped(pairs: Pairs) -> Pairs:
    """Neighbours pooled until each group is expected often enough on both sides, or is often on one of them.

    Were a group closed by the totals alone, what is wholly new would vanish beside a large reference: expected is too
    little of it. By chance alone what is too rare to be closed by its total is next to never that often.
    """
    totals = [sum(column) for column in zip(*pairs, strict=True)]
    if not all(totals):
        return [(totals[0], totals[1])] if totals else []
    smaller = min(totals)
    groups: list[tuple[int, int]] = []
    now = before = 0
    for pair in pairs:
        now, before = now + pair[0], before + pair[1]
        expected = smaller * (now + before) / sum(totals)
        at_most = smaller * max(now / totals[0], before / totals[1])
        if expected >= _MIN_EXPECTED or at_most >= _CANNOT_BE_CHANCE:
            groups.append((now, before))
            now = before = 0
    if groups:
        last = groups.pop()
        return [*groups, (last[0] + now, last[1] + before)]
    return [(now, before)]


def homogeneity(groups: Pairs, *, spread: float = 1.0) -> float:
    """The p-value of Pearson's chi-square test that both sides are of one distribution.

    `spread` corrects for words that come by the text (Rao and Scott, JASA 76, 1981, first order).
    """
    now, reference = (sum(column) for column in zip(*groups, strict=True))
    total = now + reference
    statistic = 0.0
    for pair in groups:
        for count, side in zip(pair, (now, reference), strict=True):
            expected = sum(pair) * side / total
            statistic += (count - expected) ** 2 / expected
    return chi_square_beyond(statistic / spread, len(groups) - 1)


def beyond_chance(groups: Pairs, *, spread: float = 1.0) -> float:
    """The Jensen-Shannon distance of two samples, without the part that any two of their sizes have.

    Near equality the divergence is an eighth of the chi-square statistic over nm/(n + m), in nats, and chance alone
    makes that statistic as large as its degrees of freedom.
    """
    now, reference = (sum(column) for column in zip(*groups, strict=True))
    by_chance = spread * (len(groups) - 1) * (1 / now + 1 / reference) / (8 * math.log(2))
    return math.sqrt(max(0.0, jensen_shannon(groups) ** 2 - by_chance))


def jensen_shannon(pairs: Pairs) -> float:
    """The distance (Lin, IEEE Trans. Inf. Theory 37, 1991; its root, base 2): 0 for alike, 1 for nothing in common."""
    sides = [sum(column) for column in zip(*pairs, strict=True)]
    divergence = 0.0
    for pair in pairs:
        shares = [count / side for count, side in zip(pair, sides, strict=True)]
        middle = sum(shares) / 2
        divergence += sum(share * math.log2(share / middle) for share in shares if share) / 2
    return math.sqrt(min(1.0, max(0.0, divergence)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted so that one false alarm among all is as rare as asked (Holm, Scand. J. Statistics 6, 1979).

    Unlike Benjamini and Hochberg's it asks nothing of how the features hang together, and ours do.
    """
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    ranked = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, number in enumerate(ranked):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[number]))
        adjusted[number] = highest
    return adjusted


def chi_square_beyond(statistic: float, degrees: int) -> float:
    """The share of a chi-square distribution that lies beyond: the regularised upper incomplete gamma function.

    For whole degrees it is a finite sum of positive terms: DLMF 8.8.6 from Q(1/2, x) = erfc(sqrt x) or
    Q(1, x) = exp(-x).
    """
    if degrees < 1:
        return 1.0
    x = statistic / 2
    if x <= 0:
        return 1.0
    start = 0.5 if degrees % 2 else 1.0
    beyond = math.erfc(math.sqrt(x)) if degrees % 2 else math.exp(-x)
    for step in range((degrees - 1) // 2):
        power = start + step
        beyond += math.exp(power * math.log(x) - x - math.lgamma(power + 1))
    return min(1.0, beyond)
