"""What a label cell means: names in several languages, stars from 1 to 5, or what the person says it means."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sentops_core.domain.errors import InvalidInput
from sentops_core.domain.resources import DEFAULT_LABELS

_NAMES = {
    "negative": "negative neg negativo negativa negatif négatif négative negativ -",
    "neutral": "neutral neu neutro neutra neutrale neutre",
    "positive": "positive pos positivo positiva positif positiv +",
}
_SYNONYMS = {name: label for label, names in _NAMES.items() for name in names.split()} | {
    "👎": "negative",
    "😐": "neutral",
    "👍": "positive",
}
_NUMBER = re.compile(r"([+-]?\d{1,3}(?:[.,]\d{1,3})?)\s*(?:/\s*5|stars?|stell[ae])?", re.IGNORECASE)
_STAR_SIGNS = re.compile(r"([★⭐]{1,5})[☆]{0,4}")
_LOWEST, _HIGHEST = 1.0, 5.0
_TOLERATED_OUTSIDE = 0.1


def _folded(raw: str) -> str:
    return " ".join(raw.casefold().replace("\ufe0f", "").split())


def _number(raw: str) -> float | None:
    if signs := _STAR_SIGNS.fullmatch(raw.replace("\ufe0f", "").strip()):
        return float(len(signs[1]))
    found = _NUMBER.fullmatch(raw.strip())
    return float(found[1].replace(",", ".")) if found else None


def as_stars(raw: str) -> float | None:
    """The number that a cell holds, or None."""
    return _number(raw)


def same_label(raw: str) -> str:
    """One form for cells that say the same: labels are mapped by it."""
    return _folded(raw)


def built_in_label(raw: str) -> str | None:
    """The label behind a common name, or None. Numbers are not names: what they mean depends on the column."""
    return _SYNONYMS.get(_folded(raw))


def label_of_stars(stars: float) -> str | None:
    """1-2 negative, 3 neutral, 4-5 positive; halves go to the nearer side; None outside 1 to 5."""
    if not _LOWEST <= stars <= _HIGHEST:
        return None
    if stars < 2.5:
        return "negative"
    return "neutral" if stars <= 3.5 else "positive"


@dataclass(frozen=True)
class LabelReader:
    """Turns cells into labels; `own` is the person's label map and comes before the built-in names.

    What it maps to None is left out.
    """

    labels: tuple[str, ...]
    own: Mapping[str, str | None]

    @classmethod
    def of(cls, labels: tuple[str, ...], label_map: Mapping[str, str | None]) -> "LabelReader":
        for raw, label in label_map.items():
            if label is not None and label not in labels:
                raise InvalidInput(
                    f"label_map turns {raw!r} into {label!r}; the labels are {', '.join(labels)}.",
                    saying="label_not_ours",
                    facts={"raw": raw[:60], "label": label, "labels": ", ".join(labels)},
                )
        return cls(labels, {_folded(raw): label for raw, label in label_map.items()})

    def read(self, raw: str) -> str | None:
        """The label, or None for a cell that is no label we know."""
        folded = _folded(raw)
        if folded in self.own:
            return self.own[folded]
        label = _SYNONYMS.get(folded)
        if label is None and folded in self.labels:
            label = folded
        if label is None and (stars := _number(raw)) is not None:
            label = label_of_stars(stars)
        return label if label in self.labels else None

    def leaves_out(self, raw: str) -> bool:
        """Whether the person said that rows with this label are not wanted."""
        folded = _folded(raw)
        return folded in self.own and self.own[folded] is None

    def why_unknown(self, raw: str) -> str:
        shown = raw.strip()[:40]
        if _number(raw) is not None:
            return f"{shown} is outside 1 to 5 stars"
        return (
            f'"{shown}" is no known label: map it with label_map, or use {", ".join(self.labels)}'
        )

    def refuse_other_scales(self, values: Counter[str], column: str, *, called_stars: bool) -> None:
        """Stop before numbers of another scale are taken for stars: 0/1, -1/0/1, 0 to 10, percentages.

        A stray number outside 1 to 5 is that row's problem; many of them are a scale.
        """
        numbers: Counter[float] = Counter()
        for raw, count in values.items():
            if _folded(raw) not in self.own and (number := _number(raw)) is not None:
                numbers[number] += count
        if not numbers or not set(DEFAULT_LABELS) >= set(self.labels):
            return
        outside = sum(count for number, count in numbers.items() if label_of_stars(number) is None)
        stars_seen = any(number > 3 for number in numbers)  # 1, 2, 3 may be classes as well
        if outside > numbers.total() * _TOLERATED_OUTSIDE or not (stars_seen or called_stars):
            shown = ", ".join(f"{number:g}" for number in sorted(numbers)[:12])
            raise InvalidInput(
                f"Column {column!r} holds the numbers {shown}, which are not clearly 1 to 5 stars: say what "
                'each means with label_map, for example {"0": "negative", "1": "positive"}.',
                saying="numbers_unclear",
                facts={"column": column[:60], "numbers": shown},
            )
