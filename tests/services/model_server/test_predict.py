"""Answers, and clear refusals."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from sentops_core.domain.artifact import CONFIG, InferenceConfig
from sentops_core.inference import Scored, Scorer
from sentops_model_server.__main__ import main
from tests.services.model_server.conftest import ModelServer, StartServer
from tests.support.artifacts import BuiltArtifact, build_artifact
from tests.support.eventually import eventually


async def test_one_text_is_answered_with_who_answered(
    serving: ModelServer, artifact: BuiltArtifact
) -> None:
    answer = (await serving.client.post("/predict", json={"text": "a great product"})).json()

    assert answer.pop("score") == answer["scores"]["positive"] > 0.5
    assert sum(answer.pop("scores").values()) == pytest.approx(1)
    assert answer == {
        "label": "positive",
        "model_version": "v1",
        "digest": artifact.digest,
        "truncated": False,
        "path": "full",
    }


async def test_many_texts_are_answered_in_order_and_as_if_alone(serving: ModelServer) -> None:
    texts = ["ottimo prodotto", "pessimo", "😀", "average " * 40]
    together = (await serving.client.post("/predict", json={"texts": texts})).json()["predictions"]
    alone = [(await serving.client.post("/predict", json={"text": text})).json() for text in texts]

    assert together == alone
    assert [one["truncated"] for one in together] == [False, False, False, True]


async def test_a_text_of_a_megabyte_is_answered_as_truncated(serving: ModelServer) -> None:
    answer = await serving.client.post("/predict", json={"text": "good " * 200_000})
    assert answer.status_code == 200
    assert answer.json()["truncated"]
    assert await serving.metric("sentops_model_truncated_texts_total") == 1


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"text": ""}, 422, "invalid_input"),
        ({"text": " \t\n\u00a0"}, 422, "invalid_input"),
        ({"text": 7}, 422, "invalid_input"),
        ({"text": None}, 422, "invalid_input"),
        ({"texts": []}, 422, "invalid_input"),
        ({"texts": "good"}, 422, "invalid_input"),
        ({"texts": ["good", " "]}, 422, "invalid_input"),
        ({"text": "good", "texts": ["bad"]}, 422, "invalid_input"),
        ({"text": "good", "language": "en"}, 422, "invalid_input"),
        ({}, 422, "invalid_input"),
        ([], 422, "invalid_input"),
        ({"texts": ["good"] * 513}, 413, "too_large"),
        ({"text": "x" * 2_000_000}, 413, "too_large"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_bad_body_is_refused_with_a_code_and_a_sentence(
    serving: ModelServer, body: object, status: int, code: str
) -> None:
    answer = await serving.client.post("/predict", json=body)
    assert_problem(answer, status, code)


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{broken", "application/json", 400),
        (b'{"text": "\\ud800"}', "application/json", 422),
        (b"good", "text/plain", 415),
    ],
)
async def test_a_body_that_is_no_json_is_refused(
    serving: ModelServer, content: bytes, content_type: str, status: int
) -> None:
    answer = await serving.client.post(
        "/predict", content=content, headers={"content-type": content_type}
    )
    assert_problem(answer, status)


async def test_an_empty_server_is_alive_but_never_ready(server: ModelServer) -> None:
    """A server that says ready with nothing loaded let a broken revision into production elsewhere."""
    assert (await server.client.get("/health/live")).status_code == 200
    for address in ("/health/ready", "/health", "/v2/health/ready", "/v2/models/sentiment/ready"):
        assert (await server.client.get(address)).status_code == 503, address
    for address in ("/predict", "/slots/champion/predict", "/slots/candidate/predict"):
        answer = await server.client.post(address, json={"text": "good"})
        assert_problem(answer, 503, "unavailable")
        assert "No model is loaded yet" in answer.json()["detail"]
        assert answer.headers["retry-after"]
    assert_problem(await server.client.get("/model"), 503, "unavailable")


async def test_each_slot_answers_with_its_own_version(
    serving: ModelServer, other_artifact: BuiltArtifact
) -> None:
    await serving.put(other_artifact, version="v2", slot="candidate")
    versions = [
        (await serving.client.post(f"/slots/{slot}/predict", json={"text": "good"})).json()[
            "model_version"
        ]
        for slot in ("champion", "candidate")
    ]
    assert versions == ["v1", "v2"]
    assert_problem(await serving.client.post("/slots/other/predict", json={"text": "good"}), 422)


async def test_the_model_describes_itself(serving: ModelServer, artifact: BuiltArtifact) -> None:
    facts = (await serving.client.get("/model")).json()
    assert facts["model_version"] == "v1"
    assert facts["digest"] == artifact.digest
    assert facts["labels"] == ["negative", "neutral", "positive"]
    assert facts["precision"] == "fp32"


async def test_waiting_computing_and_answers_are_measured_apart(serving: ModelServer) -> None:
    await serving.client.post("/predict", json={"texts": ["good", "bad", "great"]})

    assert await serving.metric("sentops_model_queue_wait_seconds_count") == 3
    assert await serving.metric("sentops_model_inference_seconds_count") == 3
    assert await serving.metric("sentops_model_request_texts_sum") == 3
    assert await serving.metric("sentops_model_queued_texts") == 0
    assert (
        await serving.metric(
            'sentops_model_predictions_total{label="positive",path="full",slot="champion"}'
        )
        == 2
    )
    assert await serving.metric("sentops_model_serving{") == 1


async def test_a_fixed_artifact_is_loaded_at_start_and_cannot_be_changed(
    start_server: StartServer, artifact: BuiltArtifact, other_artifact: BuiltArtifact
) -> None:
    server = await start_server(
        artifact_uri=artifact.uri, artifact_digest=artifact.digest, version="v7"
    )

    async def is_ready() -> bool:
        return (await server.client.get("/health/ready")).status_code == 200

    await eventually(is_ready)
    assert (await server.client.get("/model")).json()["model_version"] == "v7"
    assert_problem(await server.put(other_artifact), 403, "forbidden")


async def test_a_fixed_artifact_of_another_digest_never_becomes_ready(
    start_server: StartServer, artifact: BuiltArtifact
) -> None:
    server = await start_server(
        artifact_uri=artifact.uri, artifact_digest="sha256:" + "0" * 64, version="v7"
    )

    async def has_failed() -> bool:
        return (await server.slots())["champion"]["state"] == "Failed"

    await eventually(has_failed)
    answer = await server.client.get("/health/ready")
    assert answer.status_code == 503
    assert "has the digest" in answer.json()["detail"]


def test_the_server_never_imports_torch_or_a_database() -> None:
    script = (
        "import sys, sentops_model_server.app, sentops_model_server.__main__;"
        "print(sorted({'torch', 'transformers', 'asyncpg', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"SENTOPS_MODEL_PORT": "many"}, "SENTOPS_MODEL_PORT"),
        ({"SENTOPS_MODEL_ARTIFACT_URI": "file:///x"}, "belong together"),
        ({"SENTOPS_MODEL_QUEUE_TEXTS": "10"}, "MAX_TEXTS"),
    ],
)
def test_settings_that_cannot_work_end_the_program_with_one_line(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], complaint: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=complaint) as ended:
        main()
    assert len(str(ended.value).splitlines()) == 1


def assert_problem(answer: httpx.Response, status: int, code: str | None = None) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert len(problem["detail"]) > 10
    if code is not None:
        assert problem["code"] == code


@pytest.mark.parametrize("precision", ["fp32", "int8"])
async def test_texts_are_computed_together_where_it_is_asked_for_and_no_answer_depends_on_it(
    precision: str,
    start_server: StartServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def of_precision(folder: Path) -> None:
        config = InferenceConfig.model_validate_json((folder / CONFIG).read_bytes())
        changed = config.model_copy(update={"precision": precision})
        (folder / CONFIG).write_text(changed.model_dump_json())

    together = 0
    score_together = Scorer.score_together

    def counted(scorer: Scorer, texts: list[str]) -> list[Scored]:
        nonlocal together
        together += len(texts)
        return score_together(scorer, texts)

    monkeypatch.setattr(Scorer, "score_together", counted)
    server = await start_server(batching="on", workers=1)
    built = build_artifact(tmp_path / "artifact", before_sealing=of_precision)
    assert (await server.put(built)).status_code == 200
    texts = [f"great {number}" for number in range(8)]
    answer = await server.client.post("/predict", json={"texts": texts})
    assert len(answer.json()["predictions"]) == len(texts)
    assert together == (len(texts) if precision == "fp32" else 0)
