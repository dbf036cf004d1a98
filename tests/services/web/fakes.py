"""The two services that web talks to, speaking their contract over real HTTP, with a rule for a model."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request, Response
from fastapi.responses import JSONResponse

from sentops_core.domain.resources import Routing, Variant

GOOD = {"ottimo", "great", "love", "buono", "bello", "excellent", "positive", "lovely"}
BAD = {"pessimo", "broke", "hate", "brutto", "awful", "rotto", "negative", "useless"}


def a_digest(letter: str = "a") -> str:
    return "sha256:" + letter * 64


def rule(text: str) -> dict[str, float]:
    """Words decide; a text with none of them is neutral."""
    words = {word.strip(".,!?;:").lower() for word in text.split()}
    balance = len(words & GOOD) - len(words & BAD)
    if balance > 0:
        return {"negative": 0.02, "neutral": 0.05, "positive": 0.93}
    if balance < 0:
        return {"negative": 0.91, "neutral": 0.06, "positive": 0.03}
    return {"negative": 0.25, "neutral": 0.5, "positive": 0.25}


@dataclass
class FakeModel:
    """A model server; set `failing` or `delay` to make it misbehave."""

    version: str = "reviews-1"
    digest: str = a_digest()
    failing: int | None = None
    delay: float = 0
    refuses: str | None = None  # a text that is refused with all that come with it
    path: str | None = None  # older servers do not say which model answered
    asked: list[list[str]] = field(default_factory=list)

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/predict")
        async def predict(request: Request) -> Response:
            texts = (await request.json())["texts"]
            self.asked.append(texts)
            await asyncio.sleep(self.delay)
            if self.refuses in texts:
                return JSONResponse({"code": "invalid_input"}, 422)
            if self.failing is not None:
                return JSONResponse({"code": "broken"}, self.failing)
            return JSONResponse({"predictions": [self.answer(text) for text in texts]})

        return app

    def answer(self, text: str) -> dict[str, Any]:
        scores = rule(text)
        label = max(scores, key=lambda name: scores[name])
        return {
            "label": label,
            "score": scores[label],
            "scores": scores,
            "model_version": self.version,
            "digest": self.digest,
            "truncated": len(text) > 2000,
        } | ({} if self.path is None else {"path": self.path})


@dataclass
class FakeTrainer:
    """The trainer's routing with its ETag, and its list of jobs behind a token."""

    routing: Routing = field(default_factory=lambda: Routing(revision=0))
    token: str = "trainer-token"
    jobs: list[dict[str, Any]] = field(default_factory=list)
    down: bool = False
    routing_bodies: int = 0

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/routing")
        async def routing(if_none_match: Annotated[str | None, Header()] = None) -> Response:
            if self.down:
                return JSONResponse({"code": "unavailable"}, 503)
            etag = f'"{self.routing.revision}"'
            if if_none_match == etag:
                return Response(status_code=304, headers={"etag": etag})
            self.routing_bodies += 1
            return JSONResponse(self.routing.to_document(), headers={"etag": etag})

        @app.get("/training-jobs")
        async def jobs(authorization: Annotated[str, Header()] = "") -> Response:
            if authorization != f"Bearer {self.token}":
                return JSONResponse({"code": "unauthenticated"}, 401)
            return JSONResponse(self.jobs)

        return app

    def route(self, *variants: Variant) -> None:
        self.routing = Routing(revision=self.routing.revision + 1, variants=variants)

    def train(self, phase: str, percent: int | None = None, seconds: int | None = None) -> None:
        progress = {"progressPercentage": percent, "estimatedRemainingSeconds": seconds}
        self.jobs = [{"status": {"phase": phase, "trainerStatus": progress}}]


def a_variant(
    url: str,
    *,
    name: str = "champion",
    weight: int = 100,
    version: str = "reviews-1",
    digest: str = a_digest(),
    shadow: bool = False,
) -> Variant:
    return Variant(
        name=name, url=url, model_version=version, digest=digest, weight=weight, shadow=shadow
    )
