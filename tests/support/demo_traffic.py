"""Demo data: four weeks of questions, answers of the versions that served then, and what people said of them."""

import hashlib
import random
from datetime import datetime, timedelta

from sentops_core.domain.text import content_hash
from sentops_core.store.feedback import Feedback, FeedbackRow
from sentops_core.store.pool import Connection
from sentops_core.store.predictions import PredictionRow, Predictions
from tests.support.demo_models import Models
from tests.support.demo_texts import HOSTILE_NOTE, HOSTILE_TEXTS, Review, a_review
from tests.support.rows import a_prediction, a_vote

DAYS = 28
_LABELS = ("negative", "neutral", "positive")
_BATCH = 10_000


async def fill_traffic(
    connection: Connection, models: Models, *, now: datetime, predictions: int, vote_share: float
) -> int:
    """Predictions spread over the days before `now`, in the order of time; the number of votes."""
    chance = random.Random(28)
    votes = 0
    waiting: list[PredictionRow] = []
    said: list[FeedbackRow] = []
    for number in range(predictions):
        age = timedelta(days=DAYS) * (1 - (number + chance.random() * 0.5) / predictions)
        review = _review(chance, number, every=max(predictions // len(HOSTILE_TEXTS), 1))
        row = _answered(chance, review, models, at=now - age, number=number)
        waiting.append(row)
        if chance.random() < vote_share and age > timedelta(minutes=10):
            said.append(_said(chance, row, review, number))
        if len(waiting) >= _BATCH or number == predictions - 1:
            async with connection.transaction():
                await Predictions(connection).copy_in(waiting)
                votes += await Feedback(connection).upsert_many(said)
            waiting, said = [], []
    return votes


def _review(chance: random.Random, number: int, *, every: int) -> Review:
    at, rest = divmod(number, every)
    if rest == every - 1 and at < len(HOSTILE_TEXTS):
        return Review(HOSTILE_TEXTS[at], "neutral", "it")
    return a_review(chance, number)


def _answered(
    chance: random.Random, review: Review, models: Models, *, at: datetime, number: int
) -> PredictionRow:
    served = [name for name, since in models.lived if since <= at] or [models.lived[0][0]]
    candidate = served[-1] == models.champion and chance.random() < 0.1
    version = models.candidate if candidate else served[-1]
    right = chance.random() < (0.90 if candidate else 0.76 + 0.03 * (len(served) % 5))
    label = (
        review.label if right else chance.choice([one for one in _LABELS if one != review.label])
    )
    score = chance.uniform(0.6, 0.99) if right else chance.uniform(0.36, 0.8)
    second = chance.uniform(0.5, 1) * (1 - score)
    others = [one for one in _LABELS if one != label]
    scores = {label: score, others[0]: second, others[1]: 1 - score - second}
    return a_prediction(
        at,
        review.text,
        client=f"web-{hashlib.sha256(str(number % max(40, number // 50)).encode()).hexdigest()[:16]}",
        text_hash=content_hash(review.text),
        label=label,
        score=round(score, 4),
        scores={one: round(scores[one], 4) for one in _LABELS},
        language=review.language,
        truncated=len(review.text) > 300,
        variant="candidate" if candidate else "champion",
        model_version=version,
        digest=models.digests[version],
        path="fast" if score > 0.9 else "full",
    )


def _said(chance: random.Random, row: PredictionRow, review: Review, number: int) -> FeedbackRow:
    """Nearly always the truth; sometimes with a note, now and then from somebody who means harm."""
    label = review.label if chance.random() < 0.96 else chance.choice(_LABELS)
    note = None
    if number % 23 == 0:
        note = "era ironico" if review.language == "it" else "that was irony"
    if number % 101 == 0:
        note = HOSTILE_NOTE
    return a_vote(
        row,
        label,
        after=chance.uniform(5, 500),
        note=note,
        source="api" if number % 7 == 0 else "web",
    )
