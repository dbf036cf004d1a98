"""What the templates show: answers, history, training and words, ready to print."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sentops_core.domain.errors import PlatformError
from sentops_core.domain.resources import TrainingJobPhase
from sentops_core.http.i18n import Words
from sentops_core.store.feedback import FeedbackRow
from sentops_core.store.predictions import PredictionRow
from sentops_core.store.similar_examples import SimilarExample
from sentops_web.explain import Explanation
from sentops_web.lookup import Found, HistoryPage
from sentops_web.rates import TooManyRequests
from sentops_web.signing import Signer
from sentops_web.status import Status

_MARKS = 4  # strengths of a mark
_EXCERPT = 280  # characters of an example
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
    fast: bool
    language_name: str | None
    vote: FeedbackRow | None
    announcement: str
    at: datetime
    mine: bool
    withdrawn: bool


@dataclass(frozen=True)
class ProblemView:
    """`seconds` is how long to wait, 0 where waiting does not help; `go_on` says that it helps for certain."""

    heading: str
    sentence: str
    seconds: int
    go_on: bool


@dataclass(frozen=True)
class SimilarItem:
    text: str
    label: str
    percent: int


@dataclass(frozen=True)
class SimilarView:
    items: tuple[SimilarItem, ...]


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
    row: PredictionRow,
    vote: FeedbackRow | None,
    *,
    client: str,
    words: Words,
    signer: Signer,
    withdrawn: bool = False,
) -> AnswerView:
    withdrawn = withdrawn and vote is None
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
        fast=row.path == "fast",
        language_name=words(language) if row.language and words.knows(language) else None,
        vote=vote,
        announcement=_announcement(row, vote, words, withdrawn=withdrawn),
        at=row.created_at,
        mine=row.client == client,
        withdrawn=withdrawn,
    )


def _announcement(
    row: PredictionRow, vote: FeedbackRow | None, words: Words, *, withdrawn: bool
) -> str:
    if withdrawn:
        return words("vote.withdrawn")
    if vote is not None:
        return words("vote.thanks", label=words.label(vote.label))
    return words(
        "answer.announce",
        label=words.label(row.label),
        percent=percent(row.score),
        sure=words(f"answer.sure.{sureness(row.score)}"),
    )


def similar_view(found: Sequence[SimilarExample]) -> SimilarView:
    return SimilarView(
        tuple(SimilarItem(_shortened(one.text), one.label, percent(one.likeness)) for one in found)
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _EXCERPT else f"{text[: _EXCERPT - 1]}…"


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
        begun = {TrainingJobPhase.RUNNING, TrainingJobPhase.EVALUATING}
        running = training is not None and training.phase in begun
        title, kind = _first_title(status, running=running), "first"
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


def _first_title(status: Status, *, running: bool) -> str:
    """Before the first model: it is being made, about to be, or nobody has begun, as far as we know."""
    if running:
        return "first"
    if status.training is not None:
        return "queued"
    return "nobody" if status.training_known else "waiting"


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


def problem_view(error: PlatformError, words: Words, *, about: str = "") -> ProblemView:
    """The error in the page's language, or as it is where we have no words for it; `about` chooses nearer ones."""
    seconds = 0 if error.retry_after is None else math.ceil(error.retry_after.total_seconds())
    keys = (f"problem.{error.code}.{about}", f"problem.{error.code}")
    known = next((key for key in keys if words.knows(key)), None)
    headings = (f"problem.heading.{error.code}", "problem.heading")
    return ProblemView(
        heading=words(next(key for key in headings if words.knows(key))),
        sentence=str(error) if known is None else words(known, seconds=seconds),
        seconds=seconds,
        go_on=isinstance(error, TooManyRequests),
    )


def script_words(words: Words, labels: Iterable[str]) -> dict[str, str]:
    """What the page's scripts say: their own sentences, problems and the labels."""
    return (
        words.starting("js.")
        | words.starting("problem.")
        | {f"label.{label}": words.label(label) for label in labels}
    )
