"""Web before the real model server with a real (tiny) artefact, through a change of champion."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from sentops_core import trace_context
from sentops_model_server.app import build_app
from sentops_model_server.settings import ModelSettings
from tests.services.web.conftest import StartWeb, Web
from tests.services.web.fakes import FakeTrainer, a_variant
from tests.support.artifacts import BuiltArtifact, build_artifact
from tests.support.serving import served


@pytest.fixture
def model_server(tmp_path: Path) -> Iterator[str]:
    settings = ModelSettings.model_validate(
        {"control_token": "control", "cache_dir": tmp_path / "cache", "workers": 1}
    )
    with served(build_app(settings)) as url:
        yield url


def load(url: str, artifact: BuiltArtifact, version: str) -> None:
    wanted = {"storage_uri": artifact.uri, "digest": artifact.digest, "model_version": version}
    answer = httpx.put(
        f"{url}/slots/champion", json=wanted, headers={"authorization": "Bearer control"}
    )
    assert answer.status_code == 200, answer.text


async def test_answers_carry_the_version_and_digest_of_the_model_that_gave_them(
    start_web: StartWeb, trainer: FakeTrainer, model_server: str, tmp_path: Path
) -> None:
    first = build_artifact(tmp_path / "first")
    second = build_artifact(tmp_path / "second", strength=2.0)
    load(model_server, first, "reviews-1")
    trainer.route(a_variant(model_server, version="reviews-1", digest=first.digest))
    async with start_web() as web:
        before = await web.predict("it is good")
        load(model_server, second, "reviews-2")
        # The routing still names the first: what is recorded is what the model itself says.
        after = await web.predict("it is good")
        explained = await web.client.post("/api/explain", json={"text": "it is good"})
        file = {"file": ("a.csv", b"text\nit is good\n\xf0\x9f\x98\x80\n", "text/csv")}
        table = await web.client.post("/api/predict/csv", files=file)
        rows = await recorded(web)
    assert (before["model_version"], after["model_version"]) == ("reviews-1", "reviews-2")
    assert sum(before["scores"].values()) == pytest.approx(1)
    assert explained.json()["complete"]
    assert len(explained.json()["words"]) == 3
    assert table.text.count("reviews-2") == 2
    assert rows[:2] == [("reviews-1", first.digest), ("reviews-2", second.digest)]


async def test_the_trace_of_a_question_reaches_the_model_server(
    start_web: StartWeb, trainer: FakeTrainer, tmp_path: Path
) -> None:
    asked = trace_context.new_trace()
    seen: list[str] = []

    async def model(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(Headers(scope=scope).get("traceparent", ""))
        await JSONResponse({}, 503)(scope, receive, send)

    with served(model) as url:
        trainer.route(a_variant(url))
        async with start_web() as web:
            headers = {"traceparent": asked.traceparent}
            answer = await web.client.post("/api/predict", json={"text": "a"}, headers=headers)
    assert answer.json()["code"] == "model_unavailable"
    assert answer.json()["trace_id"] == asked.trace_id
    handed_on = trace_context.parse(seen[0])
    assert handed_on is not None
    assert handed_on.trace_id == asked.trace_id
    assert handed_on.span_id != asked.span_id


async def recorded(web: Web) -> list[tuple[str, str]]:
    from sentops_web.records import prediction_of

    found = [prediction_of(entry.record) for entry in await web.parts.spool.oldest(10)]
    return [(row.model_version, row.digest) for row in found]
