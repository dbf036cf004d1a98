"""Open Inference Protocol v2."""

import pytest

from tests.services.model_server.conftest import ModelServer
from tests.services.model_server.test_predict import assert_problem


def texts(*data: object, **changes: object) -> dict[str, object]:
    tensor = {
        "name": "text",
        "shape": [len(data)],
        "datatype": "BYTES",
        "data": list(data),
    } | changes
    return {"inputs": [tensor]}


async def test_the_server_and_the_model_describe_themselves(serving: ModelServer) -> None:
    assert (await serving.client.get("/v2")).json()["name"] == "sentops-model-server"
    assert (await serving.client.get("/v2/health/live")).json() == {"live": True}
    assert (await serving.client.get("/v2/health/ready")).json() == {"ready": True}
    assert (await serving.client.get("/v2/models/sentiment/ready")).json() == {"ready": True}
    model = (await serving.client.get("/v2/models/sentiment")).json()
    assert model["versions"] == ["v1"]
    assert model["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert [output["name"] for output in model["outputs"]] == [
        "label",
        "score",
        "scores",
        "truncated",
        "path",
    ]


@pytest.mark.parametrize(
    "address", ["/v2/models/sentiment/infer", "/v2/models/sentiment/versions/v1/infer"]
)
async def test_texts_go_in_and_labels_and_scores_come_out(
    serving: ModelServer, address: str
) -> None:
    body = texts("good", "bad") | {"id": "42"}
    answer = (await serving.client.post(address, json=body)).json()
    plain = (await serving.client.post("/predict", json={"texts": ["good", "bad"]})).json()[
        "predictions"
    ]

    assert (answer["id"], answer["model_name"], answer["model_version"]) == (
        "42",
        "sentiment",
        "v1",
    )
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert outputs["label"]["data"] == [one["label"] for one in plain]
    assert outputs["score"]["data"] == [one["score"] for one in plain]
    assert outputs["scores"]["shape"] == [2, 3]
    assert outputs["scores"]["data"] == [score for one in plain for score in one["scores"].values()]
    assert outputs["truncated"]["data"] == [False, False]


async def test_only_the_outputs_asked_for_come_out(serving: ModelServer) -> None:
    body = texts(["good"], ["bad"], shape=[2, 1]) | {"outputs": [{"name": "label"}]}
    answer = (await serving.client.post("/v2/models/sentiment/infer", json=body)).json()
    assert answer["outputs"] == [
        {"name": "label", "shape": [2], "datatype": "BYTES", "data": ["positive", "negative"]}
    ]
    assert "id" not in answer


@pytest.mark.parametrize(
    "body",
    [
        texts("good", shape=[2]),
        texts("good", datatype="FP32"),
        texts("good", name="sentence"),
        texts(" "),
        texts(),
        texts(7),
        texts("good", parameters={"binary_data_size": 4}),
        texts("good") | {"outputs": [{"name": "logits"}]},
        {"inputs": []},
        {},
    ],
    ids=str,
)
async def test_what_the_protocol_or_the_model_does_not_allow_is_refused(
    serving: ModelServer, body: dict[str, object]
) -> None:
    assert_problem(await serving.client.post("/v2/models/sentiment/infer", json=body), 422)


async def test_refusals_carry_the_protocol_s_own_error_member(serving: ModelServer) -> None:
    answer = await serving.client.post("/v2/models/sentiment/infer", json=texts("good", shape=[2]))
    assert answer.json()["error"] == answer.json()["detail"]


async def test_other_models_and_versions_are_not_found(serving: ModelServer) -> None:
    for address in (
        "/v2/models/other",
        "/v2/models/other/ready",
        "/v2/models/sentiment/versions/v0",
    ):
        assert_problem(await serving.client.get(address), 404, "not_found")
