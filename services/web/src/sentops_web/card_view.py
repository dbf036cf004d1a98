"""A version's card, ready to print: figures in words that nobody has to look up."""

from dataclasses import dataclass
from datetime import datetime

from sentops_core.http.i18n import Words
from sentops_web.cards import Card
from sentops_web.numbers import decimal, whole


@dataclass(frozen=True)
class LabelRow:
    label: str
    recall: int
    precision: int
    texts: str


@dataclass(frozen=True)
class CardView:
    """Sentences that would need an unknown figure are empty."""

    name: str
    state: str
    serving: bool
    created_at: datetime | None
    method: str
    base_model: str | None
    learned: str
    mix: str
    languages: str
    tested: str
    rows: tuple[LabelRow, ...]
    calibration: str
    fast_path: str
    against_before: str
    bare: bool


def card_view(card: Card, words: Words) -> CardView:
    return CardView(
        name=card.name,
        state=_state(card, words),
        serving=card.share > 0,
        created_at=card.created_at,
        method=_method(card, words),
        base_model=card.base_model,
        learned=_learned(card, words),
        mix=_mix(card, words),
        languages=", ".join(_language(code, words) for code in card.languages[:6]),
        tested=_tested(card, words),
        rows=_rows(card, words),
        calibration=_calibration(card, words),
        fast_path=_fast_path(card, words),
        against_before=_against_before(card, words),
        bare=card.evaluation is None and card.rows_train is None,
    )


def _state(card: Card, words: Words) -> str:
    if card.share == 0:
        return words("card.before")
    if card.share == 100:
        return words("card.now")
    if card.on_trial:
        return words("card.trial", share=card.share)
    return words("card.most", share=card.share)


def _method(card: Card, words: Words) -> str:
    key = f"card.method.{card.method}"
    return words(key) if words.knows(key) else ""


def _learned(card: Card, words: Words) -> str:
    if card.rows_train is None:
        return ""
    return words("card.learned", count=whole(card.rows_train, words.language))


def _mix(card: Card, words: Words) -> str:
    counts = card.label_counts or {}
    total = sum(counts.values())
    return ", ".join(
        words("card.mix", label=words.label(label).lower(), percent=round(100 * count / total))
        for label, count in sorted(counts.items())
        if total
    )


def _language(code: str, words: Words) -> str:
    key = f"language.{code}"
    return words(key) if words.knows(key) else code


def _tested(card: Card, words: Words) -> str:
    found = card.evaluation
    if found is None or found.rows == 0:
        return ""
    return words(
        "card.tested",
        rows=whole(found.rows, words.language),
        right=whole(round(found.accuracy * found.rows), words.language),
        percent=round(100 * found.accuracy),
    )


def _rows(card: Card, words: Words) -> tuple[LabelRow, ...]:
    if card.evaluation is None:
        return ()
    return tuple(
        LabelRow(
            label=label,
            recall=round(100 * scores.recall),
            precision=round(100 * scores.precision),
            texts=whole(scores.support, words.language),
        )
        for label, scores in card.evaluation.per_class.items()
    )


def _calibration(card: Card, words: Words) -> str:
    if card.evaluation is None:
        return ""
    points = decimal(100 * card.evaluation.calibration_error, words.language)
    return words("card.calibration", points=points)


def _fast_path(card: Card, words: Words) -> str:
    if card.fast_path is None:
        return ""
    return words("card.fast_path", percent=round(100 * card.fast_path.share))


def _against_before(card: Card, words: Words) -> str:
    found = card.against_before
    if found is None or found.difference is None or found.low is None or found.high is None:
        return ""
    points = {
        name: f"{'+' if float(value) > 0 else ''}{decimal(100 * float(value), words.language)}"
        for name, value in (
            ("difference", found.difference), ("low", found.low), ("high", found.high),
        )
    }  # fmt: skip
    return words("card.against_before", **points)
