"""Valid rows of predictions and feedback with defaults; a test names only what it is about."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sentops_core.store.feedback import FeedbackRow, Withdrawal
from sentops_core.store.predictions import PredictionRow, moment_of

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def uuid7_at(moment: datetime) -> UUID:
    """A UUIDv7 of that millisecond."""
    milliseconds = (moment - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)
    value = (milliseconds << 80) | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    return UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


def a_prediction(at: datetime = NOW, text: str | None = "Good.", **fields: object) -> PredictionRow:
    prediction_id = uuid7_at(at)
    defaults: dict[str, object] = {
        "id": prediction_id,
        "created_at": moment_of(prediction_id),
        "client": "client-a",
        "text": text,
        "text_hash": hashlib.sha256((text or "").encode()).digest(),
        "label": "positive",
        "score": 0.75,
        "scores": {"negative": 0.125, "neutral": 0.125, "positive": 0.75},
        "language": "en",
        "truncated": False,
        "variant": "champion",
        "model_version": "sentiment-v1",
        "digest": "sha256:" + "a" * 64,
    }
    return PredictionRow(**{**defaults, **fields})  # type: ignore[arg-type]


def a_vote(
    prediction: PredictionRow, label: str = "negative", *, after: float = 60, **fields: object
) -> FeedbackRow:
    """A vote this many seconds after the prediction."""
    voted_at = prediction.created_at + timedelta(seconds=after)
    defaults: dict[str, object] = {
        "prediction_id": prediction.id,
        "client": prediction.client,
        "label": label,
        "vote_id": uuid7_at(voted_at),
        "voted_at": voted_at,
        "predicted_at": prediction.created_at,
    }
    return FeedbackRow(**{**defaults, **fields})  # type: ignore[arg-type]


def a_withdrawal(
    prediction: PredictionRow, *, after: float = 120, client: str | None = None
) -> Withdrawal:
    """The client who asked takes its vote back this many seconds after the prediction."""
    at = prediction.created_at + timedelta(seconds=after)
    return Withdrawal(
        prediction_id=prediction.id,
        client=prediction.client if client is None else client,
        withdrawal_id=uuid7_at(at),
        withdrawn_at=at,
        predicted_at=prediction.created_at,
    )
