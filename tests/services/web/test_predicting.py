"""What programs send to web and what they get."""

import pytest

from tests.services.web.conftest import StartWeb, Web
from tests.services.web.fakes import FakeModel, FakeTrainer, a_variant


async def test_a_text_gets_a_label_with_scores_and_the_version_that_answered(web: Web) -> None:
    answer = await web.client.post("/api/predict", json={"text": "ottimo prodotto"})
    assert answer.status_code == 200
    body = answer.json()
    assert body.pop("prediction_id")
    assert body == {
        "label": "positive",
        "score": 0.93,
        "scores": {"negative": 0.02, "neutral": 0.05, "positive": 0.93},
        "model_version": "reviews-1",
        "language": "it",
        "truncated": False,
        "path": None,  # an older model server does not say
    }


async def test_a_batch_is_answered_in_order(web: Web) -> None:
    texts = ["I love it", "it broke", "a chair"] * 30
    answer = await web.client.post("/api/predict/batch", json={"texts": texts})
    assert [one["label"] for one in answer.json()["predictions"]] == [
        "positive",
        "negative",
        "neutral",
    ] * 30
    assert web.parts.spool.state().rows == 90


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        ("", 422, "empty_text"),
        (" \u00a0\n\t ", 422, "empty_text"),
        ("\x00\ufeff", 422, "empty_text"),
        ("a" * 10_001, 413, "text_too_long"),
        ("a" * 1_000_000, 413, "text_too_long"),
    ],
)
async def test_a_text_that_cannot_be_read_is_refused_with_a_sentence(
    web: Web, text: str, status: int, code: str
) -> None:
    answer = await web.client.post("/api/predict", json={"text": text})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].endswith(".")
    assert web.parts.spool.state().rows == 0


@pytest.mark.parametrize("text", ["😀😀", 'it\'s "quoted"; DROP TABLE x', "a\nb", "\ud83d", "١٢٣"])
async def test_odd_texts_are_answered(web: Web, text: str) -> None:
    body = f'{{"text": {ascii_json(text)}}}'
    answer = await web.client.post(
        "/api/predict", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 200, answer.text


def ascii_json(text: str) -> str:
    import json

    return json.dumps(text)


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        ('{"text": ', "application/json", 400, "invalid_json"),
        ('{"text": 7}', "application/json", 422, "invalid_input"),
        ('{"text": null}', "application/json", 422, "invalid_input"),
        ('{"text": "a", "label": "x"}', "application/json", 422, "invalid_input"),
        ("[]", "application/json", 422, "invalid_input"),
        ("text=a", "text/plain", 415, "unsupported_media_type"),
    ],
)
async def test_a_malformed_body_is_refused_and_says_why(
    web: Web, content: str, content_type: str, status: int, code: str
) -> None:
    answer = await web.client.post(
        "/api/predict", content=content, headers={"content-type": content_type}
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_body_over_the_bound_is_refused(start_web: StartWeb) -> None:
    async with start_web(max_body_bytes=1000) as web:
        answer = await web.client.post("/api/predict", json={"text": "a" * 2000})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_a_batch_names_the_text_that_spoils_it(web: Web) -> None:
    answer = await web.client.post("/api/predict/batch", json={"texts": ["fine", "  "]})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("texts[1]")


async def test_too_many_texts_at_once_are_sent_to_the_file_route(web: Web) -> None:
    answer = await web.client.post("/api/predict/batch", json={"texts": ["a"] * 257})
    assert answer.status_code == 413
    assert "/api/predict/csv" in answer.json()["detail"]


async def test_before_the_first_model_an_answer_says_that_it_is_being_trained(
    start_web: StartWeb, trainer: FakeTrainer
) -> None:
    trainer.route()
    trainer.train("Running", 43, 20)
    async with start_web() as web:
        answer = await web.client.post("/api/predict", json={"text": "hello"})
        status = (await web.client.get("/api/status")).json()
    assert (answer.status_code, answer.json()["code"]) == (503, "no_model")
    assert int(answer.headers["retry-after"]) > 0
    assert status == {
        "ready": False,
        "model_version": None,
        "training": {
            "phase": "Running",
            "progress_percentage": 43,
            "estimated_remaining_seconds": 20,
        },
        "training_known": True,
    }


@pytest.mark.parametrize(
    ("failing", "status", "code"), [(500, 503, "model_unavailable"), (429, 429, "model_busy")]
)
async def test_a_failing_model_is_an_error_and_never_a_200(
    web: Web, model: FakeModel, failing: int, status: int, code: str
) -> None:
    model.failing = failing
    answer = await web.client.post("/api/predict", json={"text": "hello"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "retry-after" in answer.headers


async def test_who_asks_too_much_is_told_when_to_go_on(start_web: StartWeb) -> None:
    async with start_web(burst_texts=3, texts_per_second=0.05) as web:
        for _ in range(3):
            await web.predict("hello")
        refused = await web.client.post("/api/predict", json={"text": "hello"})
        await web.predict("hello", **{"x-client-id": "somebody-else"})
        assert web.value("sentops_web_rate_limited_total") == 1
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert refused.headers["retry-after"] == "20"


async def test_a_client_id_must_be_worth_the_name(web: Web) -> None:
    answer = await web.client.post(
        "/api/predict", json={"text": "a"}, headers={"x-client-id": "me"}
    )
    assert answer.status_code == 422


async def test_nothing_but_posts_predicts(web: Web) -> None:
    assert (await web.client.get("/api/predict")).status_code == 405


async def test_another_sites_page_cannot_send_anything(web: Web) -> None:
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
        for path in ("/ask", "/correct", "/api/predict", "/api/feedback"):
            answer = await web.client.post(path, data={"text": "x"}, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")


async def test_every_answer_carries_the_security_headers(web: Web) -> None:
    for path in ("/", "/static/page.css", "/api/status", "/nowhere"):
        headers = (await web.client.get(path)).headers
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


async def test_the_documentation_comes_from_this_origin(web: Web) -> None:
    page = (await web.client.get("/docs")).text
    assert "http" not in page.replace("http-equiv", "")
    assert (await web.client.get("/docs/assets/swagger-ui-bundle.js")).status_code == 200
    paths = (await web.client.get("/openapi.json")).json()["paths"]
    assert {"/api/predict", "/api/predict/batch", "/api/predict/csv", "/api/feedback"} <= set(paths)


async def test_a_model_that_answers_nonsense_is_unavailable(
    web: Web, model: FakeModel, trainer: FakeTrainer, trainer_url: str
) -> None:
    trainer.route(a_variant(trainer_url))  # no /predict there: 404
    await web.parts.routing.refresh()
    answer = await web.client.post("/api/predict", json={"text": "hello"})
    assert answer.json()["code"] == "model_unavailable"
