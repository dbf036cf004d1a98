"""Corrections and confirmations."""

from fastapi import APIRouter
from pydantic import Field, StrictStr

from sentops_core.domain.base import Body, Label, Moment
from sentops_web.deps import Asker, PartsOf

router = APIRouter(prefix="/api", tags=["feedback"])


class FeedbackBody(Body):
    prediction_id: StrictStr = Field(max_length=200, description="As /api/predict answered it.")
    feedback: StrictStr = Field(
        max_length=200,
        description="What it should be: a label of the model.",
        examples=["negative"],
    )
    note: StrictStr | None = Field(default=None, description="Why; at most 500 characters.")


class Recorded(Body):
    prediction_id: str
    feedback: Label
    note: str | None
    voted_at: Moment


class Withdrawn(Body):
    prediction_id: str
    withdrawn_at: Moment


@router.post("/feedback", status_code=201, summary="Say what a prediction should have been")
async def give_feedback(body: FeedbackBody, client: Asker, parts: PartsOf) -> Recorded:
    prediction = parts.signer.open_prediction_id(body.prediction_id)
    parts.spend_vote(client)
    vote = await parts.voting.vote(
        prediction, body.feedback, body.note, client=client.key, source="api"
    )
    return Recorded(
        prediction_id=body.prediction_id,
        feedback=vote.label,
        note=vote.note,
        voted_at=vote.voted_at,
    )


@router.delete("/feedback/{prediction_id}", summary="Take your vote on a prediction back")
async def withdraw_feedback(prediction_id: str, client: Asker, parts: PartsOf) -> Withdrawn:
    """Whatever you said about it counts no more; without a vote nothing changes. You may vote again."""
    prediction = parts.signer.open_prediction_id(prediction_id)
    parts.spend_vote(client)
    taken = await parts.voting.withdraw(prediction, client=client.key)
    return Withdrawn(prediction_id=prediction_id, withdrawn_at=taken.withdrawn_at)
