"""Answers for one text or many."""

from typing import Annotated, Self

from fastapi import APIRouter, Request
from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from sentops_core.domain.base import Body
from sentops_core.inference import Scored
from sentops_model_server.answering import answer
from sentops_model_server.deps import TheService
from sentops_model_server.slots import Serving, SlotName


def _is_readable(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError(
            "empty_text", "The text is empty; send at least one character that is not white space."
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:  # JSON can spell half of a surrogate pair, which no text is
        raise PydanticCustomError(
            "broken_text", "The text holds half of a surrogate pair; send valid Unicode."
        ) from error
    return text


Text = Annotated[str, AfterValidator(_is_readable)]


class PredictRequest(Body):
    """Either `text` or `texts`."""

    text: Text | None = None
    texts: list[Text] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.text is None) == (self.texts is None):
            raise PydanticCustomError(
                "one_of_both", "Send either 'text' (one) or 'texts' (a list), not both or none."
            )
        return self


class Prediction(Body):
    """One answer, and which version gave it; `truncated`: the model did not read the text to its end."""

    label: str
    score: float
    scores: dict[str, float]
    model_version: str
    digest: str
    truncated: bool

    @classmethod
    def of(cls, scored: Scored, serving: Serving) -> Self:
        return cls(
            label=scored.label,
            score=scored.score,
            scores=scored.scores,
            model_version=serving.model_version,
            digest=serving.model.digest,
            truncated=scored.truncated,
        )


class Predictions(Body):
    """Answers in the order of the texts, all by one version."""

    predictions: list[Prediction]


router = APIRouter(tags=["predict"])


@router.post("/predict", summary="Predict one text or many with the champion")
async def predict(
    body: PredictRequest, request: Request, service: TheService
) -> Prediction | Predictions:
    return await predict_in_slot(SlotName.CHAMPION, body, request, service)


@router.post("/slots/{slot}/predict", summary="Predict one text or many with what this slot serves")
async def predict_in_slot(
    slot: SlotName, body: PredictRequest, request: Request, service: TheService
) -> Prediction | Predictions:
    if body.text is not None:
        serving, (scored,) = await answer(service, request, slot, [body.text])
        return Prediction.of(scored, serving)
    serving, answers = await answer(service, request, slot, body.texts or [])
    return Predictions(predictions=[Prediction.of(scored, serving) for scored in answers])
