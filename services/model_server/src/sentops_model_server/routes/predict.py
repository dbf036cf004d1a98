"""Answers for one text or many."""

from typing import Annotated, Any, Self

from fastapi import APIRouter, Header, Request
from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from sentops_core.domain.base import Body
from sentops_core.domain.fast_path import AnswerPath
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
    """One answer, and which version gave it.

    `truncated`: the model did not read the text to its end. `path`: `fast` where the version's student was sure
    enough, `full` where the whole model answered.
    """

    label: str
    score: float
    scores: dict[str, float]
    model_version: str
    digest: str
    truncated: bool
    path: AnswerPath

    @classmethod
    def of(cls, scored: Scored, serving: Serving) -> Self:
        return cls(**as_json(scored, serving))


def as_json(scored: Scored, serving: Serving) -> dict[str, Any]:
    """The fields of a Prediction."""
    return {
        "label": scored.label,
        "score": scored.score,
        "scores": scored.scores,
        "model_version": serving.model_version,
        "digest": serving.model.digest,
        "truncated": scored.truncated,
        "path": scored.path,
    }


class Predictions(Body):
    """Answers in the order of the texts, all by one version."""

    predictions: list[Prediction]


# An hour at most: nobody waits longer, and a number of any size would be a way to say nothing.
LONGEST_TIMEOUT_MS = 3_600_000
TimeoutMilliseconds = Annotated[
    int | None,
    Header(
        ge=1,
        le=LONGEST_TIMEOUT_MS,
        description="How long the caller waits. What cannot be answered in that time, or was not, is refused with 429.",
    ),
]


def seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


router = APIRouter(tags=["predict"])


@router.post("/predict", summary="Predict one text or many with the champion")
async def predict(
    body: PredictRequest,
    request: Request,
    service: TheService,
    x_request_timeout_ms: TimeoutMilliseconds = None,
) -> Prediction | Predictions:
    return await predict_in_slot(SlotName.CHAMPION, body, request, service, x_request_timeout_ms)


@router.post("/slots/{slot}/predict", summary="Predict one text or many with what this slot serves")
async def predict_in_slot(
    slot: SlotName,
    body: PredictRequest,
    request: Request,
    service: TheService,
    x_request_timeout_ms: TimeoutMilliseconds = None,
) -> Prediction | Predictions:
    texts = [body.text] if body.text is not None else body.texts or []
    within = seconds(x_request_timeout_ms)
    serving, answers = await answer(service, request.receive, slot, texts, within=within)
    if body.text is not None:
        return Prediction.of(answers[0], serving)
    return Predictions(predictions=[Prediction.of(scored, serving) for scored in answers])
