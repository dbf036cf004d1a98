"""What the templates show: answers, history, training and words, ready to print."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sentops_core.domain.errors import PlatformError
from sentops_core.domain.resources import TrainingJobPhase
from sentops_core.http.i18n import Words
from sentops_core.store.feedback import FeedbackRow
from sentops_core.store.predictions import PredictionRow
from sentops_web.explain import Explanation
from sentops_web.lookup import Found, HistoryPage
from sentops_web.signing import Signer
from sentops_web.status import Status

_MARKS = 4  # strengths of a mark
_FAINT = 0.02  # a word that moves the probability by less is not marked


@dataclass(frozen=True)
class AnswerView:
    prediction_id: str
    label: str
    percent: int
    sureness: int
    bars: tuple[tuple[str, float], ...]
    choices: tuple[str, ...]
    text: str | None
    long: bool
    truncated: bool
    model_version: str
    language_name: str | None
    vote: FeedbackRow | None
    announcement: str


@dataclass(frozen=True)
class HistoryItem:
    prediction_id: str
    text: str | None
    label: str
    percent: int
    vote: str | None
    at: datetime


@dataclass(frozen=True)
class HistoryView:
    items: tuple[HistoryItem, ...]
    partial: bool


@dataclass(frozen=True)
class TrainingView:
    """`kind` is "first", "better" or "" for nothing to tell."""

    kind: str
    title: str
    lead: str
    percent: int | None
    left: str
    ready: bool


@dataclass(frozen=True)
class MarkedWord:
    text: str
    weight: int
    side: str
    title: str


@dataclass(frozen=True)
class WhyView:
    label: str
    words: tuple[MarkedWord, ...]
    asked: int
    complete: bool
    flat: bool


def sureness(score: float) -> int:
    """4 for very sure down to 1 for not sure; calibrated scores make these words honest."""
    return 1 + sum(score >= bound for bound in (0.55, 0.75, 0.9))


def percent(score: float) -> int:
    """Whole percent, rounded down, so that 100 means certain."""
    return math.floor(score * 100 + 1e-6)


def answer_view(
    row: PredictionRow, vote: FeedbackRow | None, *, client: str, words: Words, signer: Signer
) -> AnswerView:
    language = f"language.{row.language}"
    return AnswerView(
        prediction_id=signer.prediction_id(row.id),
        label=row.label,
        percent=percent(row.score),
        sureness=sureness(row.score),
        bars=tuple(sorted(row.scores.items(), key=lambda pair: -pair[1])),
        choices=tuple(sorted(row.scores)),  # always in the same places, whatever the answer
        text=row.text if row.client == client else None,
        long=_may_scroll(row.text or ""),
        truncated=row.truncated,
        model_version=row.model_version,
        language_name=words(language) if row.language and words.knows(language) else None,
        vote=vote,
        announcement=words("vote.thanks", label=words.label(vote.label))
        if vote
        else words(
            "answer.announce",
            label=words.label(row.label),
            percent=percent(row.score),
            sure=words(f"answer.sure.{sureness(row.score)}"),
        ),
    )


def _may_scroll(text: str) -> bool:
    """Whether the text can outgrow its box on a small phone, and so must be within the keyboard's reach."""
    return len(text) > 300 or text.count("\n") > 5


def history_view(page: HistoryPage, signer: Signer) -> HistoryView:
    return HistoryView(tuple(_item(one, signer) for one in page.items), not page.complete)


def _item(found: Found, signer: Signer) -> HistoryItem:
    row = found.row
    return HistoryItem(
        prediction_id=signer.prediction_id(row.id),
        text=None if row.text is None else row.text[:300],
        label=row.label,
        percent=percent(row.score),
        vote=found.vote.label if found.vote else None,
        at=row.created_at,
    )


def training_view(status: Status, words: Words) -> TrainingView:
    training = status.training
    if status.ready and training is None:
        return TrainingView("", "", "", None, "", ready=True)
    if not status.ready:
        running = training is not None and training.phase is not TrainingJobPhase.PENDING
        title, kind = "first" if running else "waiting", "first"
        lead = words(f"training.{title}_lead")
    else:
        evaluating = training is not None and training.phase is TrainingJobPhase.EVALUATING
        title, kind = "evaluating" if evaluating else "better", "better"
        lead = words("training.better_lead", version=status.model_version or "–")
    seconds = training.estimated_remaining_seconds if training else None
    return TrainingView(
        kind=kind,
        title=title,
        lead=lead,
        percent=training.progress_percentage if training else None,
        left="" if seconds is None else _left(seconds, words),
        ready=status.ready,
    )


def _left(seconds: int, words: Words) -> str:
    if seconds < 90:
        return words("training.seconds_left", count=seconds)
    return words("training.minutes_left", count=round(seconds / 60))


def why_view(explanation: Explanation, words: Words) -> WhyView:
    """Marks relative to the word that counts most."""
    most = max((abs(word.contribution or 0) for word in explanation.words), default=0)
    flat = most < _FAINT
    marked = []
    for word in explanation.words:
        moved = word.contribution or 0.0
        faint = flat or abs(moved) < max(_FAINT, most / 10)
        side = "for" if moved > 0 else "against"
        marked.append(
            MarkedWord(
                text=word.text,
                weight=0 if faint else math.ceil(abs(moved) / most * _MARKS),
                side=side,
                title=f"{words(f'why.{side}')}: {abs(moved) * 100:.0f}%",
            )
        )
    return WhyView(
        explanation.answer.label, tuple(marked), explanation.asked, explanation.complete, flat
    )


def problem_sentence(error: PlatformError, words: Words) -> str:
    """The error in the page's language, or as it is where we have no words for it."""
    key = f"problem.{error.code}"
    return words(key) if words.knows(key) else str(error)


def script_words(words: Words, labels: Iterable[str]) -> dict[str, str]:
    """What the page's scripts say: their own sentences, problems and the labels."""
    return (
        words.starting("js.")
        | words.starting("problem.")
        | {f"label.{label}": words.label(label) for label in labels}
    )
