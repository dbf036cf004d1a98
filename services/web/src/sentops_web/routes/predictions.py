"""Texts in, answers out."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, File, Form, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import Field, StrictStr

from sentops_core.domain.base import Body, Label, Moment
from sentops_core.domain.errors import InvalidInput, NotFound, TooLarge
from sentops_core.domain.fast_path import AnswerPath
from sentops_core.store.predictions import PredictionRow
from sentops_web.answering import readable
from sentops_web.batch_file import answered_table, header
from sentops_web.deps import Asker, Parts, PartsOf
from sentops_web.explain import explain
from sentops_web.identity import Client
from sentops_web.tables import Table, TableEmpty, read_lines, read_table

router = APIRouter(prefix="/api", tags=["predictions"])


class TextBody(Body):
    text: StrictStr = Field(description="What somebody wrote.", examples=["ottimo prodotto"])


class TextsBody(Body):
    texts: list[StrictStr] = Field(min_length=1, examples=[["ottimo prodotto", "it broke"]])


class Prediction(Body):
    prediction_id: str
    label: Label
    score: float
    scores: dict[Label, float]
    model_version: str
    language: str | None = Field(description="ISO 639-1, or null when it cannot be told.")
    truncated: bool = Field(description="Only the beginning of the text was read.")
    path: AnswerPath | None = Field(
        description="Which model answered: full, or fast for a small one that was sure enough; null: not said."
    )


class Predictions(Body):
    predictions: list[Prediction]


class Vote(Body):
    label: Label
    note: str | None
    voted_at: Moment


class StoredPrediction(Prediction):
    created_at: Moment
    text: str | None = Field(description="Only for the client who asked, while it is kept.")
    vote: Vote | None = Field(description="Your vote on it.")


class History(Body):
    predictions: list[StoredPrediction]
    complete: bool = Field(description="False while older answers cannot be read.")


class WordContribution(Body):
    word: str
    start: int
    end: int
    contribution: float | None = Field(
        description="How much less likely the label is without the word; null: not tried in time."
    )


class ExplainedText(Body):
    label: Label
    score: float
    model_version: str
    words: list[WordContribution]
    complete: bool = Field(description="False when time was up before every word was tried.")
    words_tried: int


def shown(row: PredictionRow, parts: Parts) -> Prediction:
    return Prediction(
        prediction_id=parts.signer.prediction_id(row.id),
        label=row.label,
        score=row.score,
        scores=row.scores,
        model_version=row.model_version,
        language=row.language,
        truncated=row.truncated,
        path=row.path,
    )


@router.post("/predict", summary="Predict the sentiment of one text")
async def predict(body: TextBody, client: Asker, parts: PartsOf) -> Prediction:
    text = readable(body.text, parts.answering.limits)
    parts.spend_texts(client, 1)
    (row,) = await parts.answering.answer([text], client.key)
    return shown(row, parts)


@router.post("/predict/batch", summary="Predict the sentiment of many texts, answered in order")
async def predict_batch(body: TextsBody, client: Asker, parts: PartsOf) -> Predictions:
    limits = parts.answering.limits
    if len(body.texts) > limits.batch_texts:
        raise TooLarge(
            f"{len(body.texts):,} texts at once; send {limits.batch_texts} at most, "
            "or a file to /api/predict/csv."
        )
    texts = [
        readable(text, limits, where=f"texts[{index}]") for index, text in enumerate(body.texts)
    ]
    parts.spend_texts(client, len(texts))
    rows = await parts.answering.answer(texts, client.key)
    return Predictions(predictions=[shown(row, parts) for row in rows])


@router.post(
    "/predict/csv",
    summary="Predict every row of a CSV file and get the table back",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}}, "description": "The table, row by row."}},
)
async def predict_csv(
    client: Asker,
    parts: PartsOf,
    file: Annotated[UploadFile | None, File(description="CSV, TSV or plain lines.")] = None,
    lines: Annotated[str | None, Form(description="Instead of a file: one text per line.")] = None,
    column: Annotated[str | None, Form(description="Which column holds the texts.")] = None,
) -> StreamingResponse:
    return await table_answer(file, lines, column, parts, client)


async def table_answer(
    file: UploadFile | None,
    lines: str | None,
    column: str | None,
    parts: Parts,
    client: Client,
) -> StreamingResponse:
    """The table with an answer on each row, sent while it is made; what concerns all rows raises before."""
    table = await _table(file, lines, column or None, max_rows=parts.settings.max_file_rows)
    parts.spend_texts(client, len(table.rows))
    pieces = answered_table(table, parts.answering, parts.signer, client.key)
    # Taken here, so that a failure that concerns every row is still an error and no broken file.
    first = await anext(pieces)

    async def all_pieces() -> AsyncIterator[str]:
        yield first
        async for piece in pieces:
            yield piece

    labels = parts.answering.labels
    return StreamingResponse(
        all_pieces(),
        media_type="text/csv; charset=utf-8",
        headers={
            "content-disposition": 'attachment; filename="sentops.csv"',
            "x-total-rows": str(len(table.rows)),
            "x-text-column": str(table.text_index),
            "x-answer-column": str(header(table, labels).index("predicted")),
        },
    )


async def _table(
    file: UploadFile | None, lines: str | None, column: str | None, *, max_rows: int
) -> Table:
    if file is not None and file.filename:
        return read_table(await file.read(), column=column, max_rows=max_rows)
    if lines is not None and lines.strip():
        return read_lines(lines, max_rows=max_rows)
    raise TableEmpty("Send a file in the field 'file', or one text per line in the field 'lines'.")


@router.get("/predictions/{prediction_id}", summary="Look up one prediction")
async def get_prediction(prediction_id: str, client: Asker, parts: PartsOf) -> StoredPrediction:
    found = await parts.lookup.find(parts.signer.open_prediction_id(prediction_id), client.key)
    if found is None:
        raise NotFound("This prediction is not kept any more.")
    return stored(found.row, found.vote, parts, client.key)


class SimilarText(Body):
    text: str
    label: Label
    likeness: float = Field(description="Share of letter triples in common: alike in words only.")


class SimilarTexts(Body):
    examples: list[SimilarText]


@router.get(
    "/predictions/{prediction_id}/similar",
    summary="Labelled examples that read much like a text you asked about",
)
async def get_similar(prediction_id: str, client: Asker, parts: PartsOf) -> SimilarTexts:
    """Only public examples (see SENTOPS_WEB_SHOW_SIMILAR); none where showing them is turned off."""
    found = await parts.lookup.find(parts.signer.open_prediction_id(prediction_id), client.key)
    if found is None or found.row.client != client.key or found.row.text is None:
        raise NotFound("Its text is not kept, or not yours, so nothing can be compared with it.")
    parts.spend_texts(client, 1)
    return SimilarTexts(
        examples=[
            SimilarText(text=one.text, label=one.label, likeness=one.likeness)
            for one in await parts.similar.like(found.row.text)
        ]
    )


@router.get("/history", summary="Your own predictions, newest first")
async def get_history(
    client: Asker,
    parts: PartsOf,
    limit: Annotated[int, Field(ge=1, le=200)] = 50,
) -> History:
    if not client.private:
        raise InvalidInput(
            "Whose history? Send the header x-client-id with predictions and here, "
            "or use the page, which sets a cookie."
        )
    page = await parts.lookup.history(client.key, limit)
    return History(
        predictions=[stored(one.row, one.vote, parts, client.key) for one in page.items],
        complete=page.complete,
    )


def stored(row: PredictionRow, vote: object, parts: Parts, client: str) -> StoredPrediction:
    """The prediction with its text for the one who asked it, and without for anybody else."""
    return StoredPrediction(
        **shown(row, parts).model_dump(),
        created_at=row.created_at,
        text=row.text if row.client == client else None,
        vote=None
        if vote is None
        else Vote.model_validate(vote, from_attributes=True, extra="ignore"),
    )


@router.post("/explain", summary="Which words made the answer")
async def explain_text(body: TextBody, client: Asker, parts: PartsOf) -> ExplainedText:
    text = readable(body.text, parts.answering.limits)
    # As many texts are asked as there are words; what the budget cuts off is not charged.
    parts.spend_texts(client, min(len(text.split()) + 1, 100))
    found = await explain(
        text,
        lambda texts: parts.answering.ask(texts, client.key),
        budget_seconds=parts.settings.explain_budget_seconds,
    )
    return ExplainedText(
        label=found.answer.label,
        score=found.answer.score,
        model_version=found.answer.model_version,
        words=[
            WordContribution(
                word=word.text, start=word.start, end=word.end, contribution=word.contribution
            )
            for word in found.words
        ],
        complete=found.complete,
        words_tried=found.asked,
    )
