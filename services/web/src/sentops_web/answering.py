"""One text in, one recorded answer out: the routed model answers, the spool keeps it, then the asker hears."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from prometheus_client import Counter

from sentops_core.domain.errors import InvalidInput, PlatformError, TooLarge
from sentops_core.domain.resources import Variant
from sentops_core.domain.text import content_hash, normalise
from sentops_core.language import DetectLanguage
from sentops_core.store.predictions import PredictionRow, moment_of
from sentops_web.metrics import WebMetrics
from sentops_web.model_client import ModelAnswer, ModelClient
from sentops_web.records import prediction_record
from sentops_web.routing import RoutingClient
from sentops_web.signing import new_uuid
from sentops_web.spool import Spool, SpoolFull

log = structlog.get_logger()

# Keeps one batch from holding the model for long, and under its body limit with the longest texts.
_TEXTS_PER_CALL = 32
_SHADOW_CALLS = 4
_REMEMBERED_LABELS = 20_000


class EmptyText(InvalidInput):
    code = "empty_text"


class TextTooLong(TooLarge):
    code = "text_too_long"


@dataclass(frozen=True)
class Limits:
    text_characters: int
    batch_texts: int


def readable(text: str, limits: Limits, *, where: str = "text") -> str:
    """The text in its normal form; refused when nothing is left of it or it is too long."""
    if len(text) > limits.text_characters:
        raise TextTooLong(
            f"{where} has {len(text):,} characters; send {limits.text_characters:,} at most."
        )
    clean = normalise(text)
    if not clean:
        raise EmptyText(f"{where} is empty: write at least one word.")
    return clean


class Answering:
    def __init__(
        self,
        *,
        routing: RoutingClient,
        model: ModelClient,
        spool: Spool,
        detect: DetectLanguage,
        metrics: WebMetrics,
        limits: Limits,
    ) -> None:
        self._routing = routing
        self._model = model
        self._spool = spool
        self._detect = detect
        self._metrics = metrics
        self.limits = limits
        self._shadowing: set[asyncio.Task[None]] = set()
        self._labels_given: OrderedDict[UUID, str] = OrderedDict()
        self._counters: dict[tuple[str, ...], Counter] = {}

    @property
    def labels(self) -> tuple[str, ...]:
        """What a text can be called."""
        return self._routing.labels

    async def answer(self, texts: Sequence[str], client: str) -> list[PredictionRow]:
        """One recorded answer per (readable) text, in order. Nothing is answered that is not on disk."""
        choice = self._routing.choose(client)
        rows: list[PredictionRow] = []
        for at in range(0, len(texts), _TEXTS_PER_CALL):
            chunk = texts[at : at + _TEXTS_PER_CALL]
            variant, answers = await self._ask_with_fallback(chunk, choice.first, choice.fallback)
            fresh = self._rows(chunk, answers, client, variant)
            await self._record(fresh)
            rows += fresh
            for shadow in choice.shadows:
                self._show_to(shadow, chunk, client)
        self._count(rows)
        return rows

    async def ask(self, texts: Sequence[str], client: str) -> Sequence[ModelAnswer]:
        """Answers that are nobody's prediction and leave no trace: for explanations."""
        choice = self._routing.choose(client)
        _, answers = await self._ask_with_fallback(texts, choice.first, choice.fallback)
        return answers

    def agreement(self, prediction: UUID, label: str) -> str:
        """Whether a vote confirms the answer, as far as we remember giving it."""
        given = self._labels_given.get(prediction)
        if given is None:
            return "unknown"
        return "agrees" if given == label else "disagrees"

    async def close(self) -> None:
        """Let the shadows finish."""
        if self._shadowing:
            await asyncio.wait(self._shadowing, timeout=5)

    async def _ask_with_fallback(
        self, texts: Sequence[str], first: Variant, fallback: Variant | None
    ) -> tuple[Variant, Sequence[ModelAnswer]]:
        variant = first
        try:
            answers = await self._model.ask(first, texts)
        except PlatformError as error:
            if fallback is None:
                raise
            log.warning(
                "variant_failed", variant=first.name, version=first.model_version, code=error.code
            )
            self._metrics.fallbacks.inc()
            variant = fallback
            answers = await self._model.ask(fallback, texts)
        self._routing.learn_labels(tuple(answers[0].scores))
        return variant, answers

    async def _record(self, rows: Sequence[PredictionRow]) -> None:
        try:
            await self._spool.append([prediction_record(row) for row in rows])
        except SpoolFull:
            self._metrics.spool_refusals.inc()
            raise

    def _rows(
        self,
        texts: Sequence[str],
        answers: Sequence[ModelAnswer],
        client: str,
        variant: Variant,
    ) -> list[PredictionRow]:
        rows = []
        for text, answer in zip(texts, answers, strict=True):
            identity = new_uuid()
            rows.append(
                PredictionRow(
                    id=identity,
                    created_at=moment_of(identity),
                    client=client,
                    text=text,
                    text_hash=content_hash(text),
                    label=answer.label,
                    score=answer.score,
                    scores=answer.scores,
                    language=self._detect(text),
                    truncated=answer.truncated,
                    variant=variant.name,
                    model_version=answer.model_version,
                    digest=answer.digest,
                    shadow=variant.shadow,
                    path=answer.path,
                )
            )
        return rows

    def _count(self, rows: Sequence[PredictionRow]) -> None:
        for row in rows:
            self._counter(row.variant, row.model_version, row.label).inc()
            self._labels_given[row.id] = row.label
        while len(self._labels_given) > _REMEMBERED_LABELS:
            self._labels_given.popitem(last=False)

    def _counter(self, *labels: str) -> Counter:
        """Asking the metrics for the one with certain labels costs more than the dictionary."""
        found = self._counters.get(labels)
        if found is None:
            found = self._counters[labels] = self._metrics.predictions.labels(*labels)
        return found

    def _show_to(self, shadow: Variant, texts: Sequence[str], client: str) -> None:
        """Ask the shadow in the background; when it cannot keep up, it simply sees less."""
        if len(self._shadowing) >= _SHADOW_CALLS:
            self._metrics.shadows.labels("skipped").inc(len(texts))
            return
        task = asyncio.create_task(self._shadow(shadow, texts, client))
        self._shadowing.add(task)
        task.add_done_callback(self._shadowing.discard)

    async def _shadow(self, shadow: Variant, texts: Sequence[str], client: str) -> None:
        try:
            answers = await self._model.ask(shadow, texts)
            rows = self._rows(texts, answers, client, shadow)
            await self._spool.append([prediction_record(row) for row in rows])
        except PlatformError:
            self._metrics.shadows.labels("failed").inc(len(texts))
        else:
            self._metrics.shadows.labels("recorded").inc(len(texts))
