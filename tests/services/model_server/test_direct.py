"""The direct way to an answer is FastAPI's contract: same answers, same refusals, same figures."""

import json
from pathlib import Path

import httpx
import pytest

from sentops_core.domain.fast_path import FastPath
from sentops_model_server import direct
from tests.services.model_server.conftest import ModelServer, StartServer
from tests.services.model_server.test_predict import assert_problem
from tests.support.artifacts import BuiltArtifact, build_artifact

JSON = {"content-type": "application/json"}
TRACE = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}


async def ask(
    server: ModelServer, body: object, headers: dict[str, str], address: str = "/predict"
) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await server.client.post(address, content=content, headers=JSON | TRACE | headers)


@pytest.mark.parametrize("address", ["/predict", "/slots/candidate/predict", "/slots/x/predict"])
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({"text": "a great product 😀"}, {}),
        ({"texts": ["pessimo", "average " * 40]}, {}),
        ({"text": "good"}, {"x-request-timeout-ms": "5000"}),
        ({"text": "good"}, {"x-request-timeout-ms": "0"}),
        ({"text": "good"}, {"x-request-timeout-ms": "soon"}),
        ({"text": "good"}, {"content-type": "application/vnd.api+json"}),
        ({"text": "good"}, {"content-type": "text/plain"}),
        ({"text": "\u2003\n"}, {}),
        ({"text": "good", "texts": None}, {}),
        ({"text": 7}, {}),
        ({"texts": ["good", ""]}, {}),
        ({"texts": ["good"] * 513}, {}),
        (b'{"text": "\\ud800"}', {}),
        (b'{"text": "good"', {}),
        ('{"text": "good"}'.encode("utf-16"), {}),
        (b"", {}),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_both_ways_say_the_same(
    serving: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    body: object,
    headers: dict[str, str],
    address: str,
) -> None:
    by_direct = await ask(serving, body, headers, address)
    monkeypatch.setattr(direct, "_ROUTES", {})
    by_fastapi = await ask(serving, body, headers, address)

    assert by_direct.status_code == by_fastapi.status_code
    assert by_direct.json() == by_fastapi.json()
    assert dict(by_direct.headers) == dict(by_fastapi.headers) | {
        "content-length": by_direct.headers["content-length"]  # 1e-05 is 1e-5 elsewhere
    }
    route = "/slots/{slot}/predict" if "slots" in address else "/predict"
    facts = f'method="POST",route="{route}",status="{by_direct.status_code}"'
    assert await serving.metric(f"sentops_http_requests_total{{{facts}}}") == 2


async def test_only_what_is_out_of_the_ordinary_reaches_fastapi(serving: ModelServer) -> None:
    layer = serving.app.middleware_stack._app
    assert isinstance(layer, direct.DirectPredict)
    reached: list[str] = []
    inner = layer._app

    async def noticing(scope, receive, send):
        reached.append(scope["path"])
        await inner(scope, receive, send)

    layer._app = noticing
    assert (await ask(serving, {"text": "good"}, {})).status_code == 200
    assert reached == []
    assert (await ask(serving, {"text": ""}, {})).status_code == 422
    assert reached == ["/predict"]


async def test_a_defect_is_a_problem_and_logged(
    serving: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "as_json", lambda *_: 1 / 0)
    answer = await ask(serving, {"text": "good"}, {})
    assert_problem(answer, 500, "internal")
    assert answer.json()["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_a_text_asked_again_is_answered_from_memory_by_the_version_that_serves(
    start_server: StartServer, artifact: BuiltArtifact, other_artifact: BuiltArtifact
) -> None:
    server: ModelServer = await start_server(answer_cache_entries=2)
    await server.put(artifact)
    first = (await ask(server, {"text": "good"}, {})).json()
    again = (await ask(server, {"texts": ["good", "bad", "good"]}, {})).json()["predictions"]
    assert again[0] == again[2] == first
    assert await server.metric("sentops_model_answer_cache_hits_total") == 2
    assert await server.metric("sentops_model_answer_cache_misses_total") == 2
    assert await server.metric("sentops_model_inference_seconds_count") == 2
    assert await server.metric("sentops_model_predictions_total") == 4

    await server.put(other_artifact, version="v2")
    other = (await ask(server, {"text": "good"}, {})).json()
    assert (other["model_version"], other["digest"]) == ("v2", other_artifact.digest)
    assert other["score"] != first["score"]

    await ask(server, {"texts": ["great", "okay"]}, {})
    assert await server.metric("sentops_model_answer_cache_entries") == 2
    assert 0 < await server.metric("sentops_model_answer_cache_bytes") < 2000


async def test_a_request_that_cannot_be_answered_in_time_is_429_with_retry_after(
    start_server: StartServer, slow_artifact: BuiltArtifact
) -> None:
    server: ModelServer = await start_server(workers=1)
    await server.put(slow_artifact)
    many = {"texts": ["good " * 500] * 400}
    for timeout, settings in (("1", {}), (None, {"timeout_ms": 1})):
        if settings:
            server = await start_server(workers=1, **settings)
            await server.put(slow_artifact)
        headers = {} if timeout is None else {"x-request-timeout-ms": timeout}
        answer = await ask(server, many, headers)
        assert_problem(answer, 429, "too_late")
        assert int(answer.headers["retry-after"]) >= 1
        assert await server.metric("sentops_model_inference_seconds_count") == 0


@pytest.mark.parametrize("fast_path", [True, False])
async def test_every_answer_says_which_path_gave_it_and_the_student_can_be_left_out(
    start_server: StartServer, tmp_path: Path, fast_path: bool
) -> None:
    cascade = build_artifact(tmp_path / "cascade", fast_path=FastPath(temperature=1, threshold=0.9))
    server: ModelServer = await start_server(fast_path=fast_path)
    assert (await server.put(cascade)).status_code == 200
    sure, unsure = "good great excellent love", "the product"
    texts = {"texts": [sure, unsure]}
    answers = (await ask(server, texts, {})).json()["predictions"]
    paths = ["fast" if fast_path else "full", "full"]
    assert [one["path"] for one in answers] == paths
    inputs = {"name": "text", "shape": [2], "datatype": "BYTES", "data": [sure, unsure]}
    asked = {"inputs": [inputs], "outputs": [{"name": "path"}]}
    by_protocol = (await ask(server, asked, {}, "/v2/models/sentiment/infer")).json()
    assert by_protocol["outputs"][0]["data"] == paths
    for path in set(paths):
        line = f'sentops_model_predictions_total{{label="{answers[paths.index(path)]["label"]}",path="{path}"'
        assert await server.metric(line) >= 1
