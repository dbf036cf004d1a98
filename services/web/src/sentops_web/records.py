"""The rows of the spool: predictions, votes and withdrawals as the database takes them, and as JSON on their way."""

from datetime import datetime
from uuid import UUID

import orjson

from sentops_core.store.feedback import FeedbackRow, Withdrawal
from sentops_core.store.predictions import PredictionRow
from sentops_web.spool import Record


def prediction_record(row: PredictionRow) -> Record:
    return Record("prediction", row.id, row.client, _json(row))


def prediction_of(record: Record) -> PredictionRow:
    found = orjson.loads(record.body)
    found["id"] = UUID(found["id"])
    found["created_at"] = datetime.fromisoformat(found["created_at"])
    found["text_hash"] = bytes.fromhex(found["text_hash"])
    return PredictionRow(**found)


def vote_record(row: FeedbackRow) -> Record:
    return Record("vote", row.prediction_id, row.client, _json(row))


def vote_of(record: Record) -> FeedbackRow:
    found = orjson.loads(record.body)
    for field in ("prediction_id", "vote_id"):
        found[field] = UUID(found[field])
    for field in ("voted_at", "predicted_at"):
        found[field] = datetime.fromisoformat(found[field])
    return FeedbackRow(**found)


def withdrawal_record(taken: Withdrawal) -> Record:
    return Record("withdrawal", taken.prediction_id, taken.client, _json(taken))


def withdrawal_of(record: Record) -> Withdrawal:
    found = orjson.loads(record.body)
    for field in ("prediction_id", "withdrawal_id"):
        found[field] = UUID(found[field])
    for field in ("withdrawn_at", "predicted_at"):
        found[field] = datetime.fromisoformat(found[field])
    return Withdrawal(**found)


def _json(row: PredictionRow | FeedbackRow | Withdrawal) -> bytes:
    """As orjson writes dataclasses, UUIDs and moments; bytes become hexadecimal."""
    return orjson.dumps(row, default=bytes.hex)
