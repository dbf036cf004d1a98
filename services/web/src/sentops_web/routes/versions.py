"""What a model version is, for anybody who got an answer of it."""

from fastapi import APIRouter
from pydantic import Field

from sentops_core.domain.base import Body, Label, Moment
from sentops_web.cards import Card
from sentops_web.deps import PartsOf

router = APIRouter(prefix="/api", tags=["versions"])


class LabelScores(Body):
    precision: float = Field(description="Of the texts it gave this label, the share that have it.")
    recall: float = Field(description="Of the texts that have this label, the share it found.")
    texts: int


class VersionCard(Body):
    """What is not known is null or empty."""

    name: str
    answers_percent: int = Field(description="How many of 100 clients it answers now.")
    created_at: Moment | None
    labels: list[Label]
    method: str | None
    base_model: str | None = Field(description="Only where it is one that Sentops names.")
    training_texts: int | None
    texts_by_label: dict[Label, int]
    languages: list[str] = Field(description="ISO 639-1, the most frequent first.")
    held_out_texts: int | None = Field(description="Never trained on; the scores are of these.")
    accuracy: float | None
    macro_f1: float | None
    calibration_error: float | None
    fast_path_share: float | None = Field(
        description="Of the held-out texts, answered by its small student; the scores are of both."
    )
    by_label: dict[Label, LabelScores]


@router.get("/versions/{name}", summary="The card of a model version that answers or answered")
async def get_version(name: str, parts: PartsOf) -> VersionCard:
    return _shown(await parts.cards.card(name))


def _shown(card: Card) -> VersionCard:
    evaluation = card.evaluation
    return VersionCard(
        name=card.name,
        answers_percent=card.share,
        created_at=card.created_at,
        labels=list(card.labels),
        method=card.method,
        base_model=card.base_model,
        training_texts=card.rows_train,
        texts_by_label=card.label_counts or {},
        languages=list(card.languages),
        held_out_texts=None if evaluation is None else evaluation.rows,
        accuracy=None if evaluation is None else evaluation.accuracy,
        macro_f1=None if evaluation is None else evaluation.macro_f1,
        calibration_error=None if evaluation is None else evaluation.calibration_error,
        fast_path_share=None if card.fast_path is None else card.fast_path.share,
        by_label={}
        if evaluation is None
        else {
            label: LabelScores(
                precision=scores.precision, recall=scores.recall, texts=scores.support
            )
            for label, scores in evaluation.per_class.items()
        },
    )
