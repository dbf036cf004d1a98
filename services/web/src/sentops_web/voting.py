"""A vote: what a prediction should have been, in the words of one client."""

from uuid import UUID

from sentops_core.domain.errors import InvalidInput
from sentops_core.domain.text import normalise
from sentops_core.store.feedback import FeedbackRow, Withdrawal
from sentops_core.store.predictions import moment_of
from sentops_web.answering import Answering
from sentops_web.metrics import WebMetrics
from sentops_web.records import vote_record, withdrawal_record
from sentops_web.signing import new_uuid
from sentops_web.spool import Record, Spool, SpoolFull

NOTE_CHARACTERS = 500


class UnknownLabel(InvalidInput):
    code = "unknown_label"


class NoteTooLong(InvalidInput):
    code = "note_too_long"


class Voting:
    def __init__(self, answering: Answering, spool: Spool, metrics: WebMetrics) -> None:
        self._answering = answering
        self._spool = spool
        self._metrics = metrics

    async def vote(
        self, prediction: UUID, label: str, note: str | None, *, client: str, source: str
    ) -> FeedbackRow:
        """The recorded vote; the same client voting again replaces it."""
        labels = self._answering.labels
        if label not in labels:
            raise UnknownLabel(
                f"'{label[:40]}' is not a label of this model; use one of: {', '.join(labels)}.",
                details={"labels": list(labels)},
            )
        note = normalise(note or "") or None
        if note is not None and len(note) > NOTE_CHARACTERS:
            raise NoteTooLong(f"The note has {len(note):,} characters; {NOTE_CHARACTERS} at most.")
        identity = new_uuid()
        row = FeedbackRow(
            prediction_id=prediction,
            client=client,
            label=label,
            note=note,
            vote_id=identity,
            voted_at=moment_of(identity),
            predicted_at=moment_of(prediction),
            source=source,
        )
        await self._keep(vote_record(row))
        self._metrics.votes.labels(self._answering.agreement(prediction, label)).inc()
        return row

    async def withdraw(self, prediction: UUID, *, client: str) -> Withdrawal:
        """The client's vote, if there is one, counts no more; asking twice is as good as once."""
        identity = new_uuid()
        taken = Withdrawal(
            prediction_id=prediction,
            client=client,
            withdrawal_id=identity,
            withdrawn_at=moment_of(identity),
            predicted_at=moment_of(prediction),
        )
        await self._keep(withdrawal_record(taken))
        return taken

    async def _keep(self, record: Record) -> None:
        try:
            await self._spool.append([record])
        except SpoolFull:
            self._metrics.spool_refusals.inc()
            raise
