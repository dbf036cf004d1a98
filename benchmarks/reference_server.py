"""The plain way to serve a classifier, for comparison: FastAPI, a transformers pipeline, a sync endpoint.

`python -m benchmarks.reference_server --model FOLDER --port N`. Deliberately as most people write it, and neither made slower
nor tuned: torch's defaults, no batching, one text a request, the pipeline called in FastAPI's thread pool.
"""

import argparse
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

from benchmarks.support.plain_model import PooledClassifier, prefix_in, tokenizer_in


class Question(BaseModel):
    text: str


class Answer(BaseModel):
    label: str
    score: float


def build_app(folder: Path) -> FastAPI:
    model, tokenizer, prefix = (
        PooledClassifier.opened(folder),
        tokenizer_in(folder),
        prefix_in(folder),
    )
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer)
    app = FastAPI(title="reference")

    @app.post("/predict", summary="Classify one text")
    def predict(question: Question) -> Answer:
        found = classify(prefix + question.text, truncation=True)[0]
        return Answer(label=found["label"], score=found["score"])

    @app.get("/health/ready", summary="The model is loaded")
    def ready() -> dict[str, str]:
        return {"status": "ok"}

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="a transformers folder")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args()
    uvicorn.run(build_app(options.model), host=options.host, port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
