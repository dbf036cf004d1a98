"""The routing as web keeps it, and what happens when variants misbehave."""

import json
from pathlib import Path

import pytest

from sentops_core.domain.resources import Variant
from sentops_web.records import prediction_of
from tests.services.web.conftest import StartWeb, Web
from tests.services.web.fakes import FakeModel, FakeTrainer, a_digest, a_variant
from tests.support.eventually import eventually
from tests.support.serving import served


@pytest.fixture
def second() -> FakeModel:
    return FakeModel(version="reviews-2", digest=a_digest("b"))


@pytest.fixture
def second_url(second: FakeModel):
    with served(second.app()) as url:
        yield url


def the_candidate(url: str, *, weight: int, shadow: bool = False) -> Variant:
    return a_variant(
        url,
        name="candidate",
        weight=weight,
        version="reviews-2",
        digest=a_digest("b"),
        shadow=shadow,
    )


async def spooled(web: Web) -> list[dict[str, object]]:
    entries = await web.parts.spool.oldest(1000)
    return [vars(prediction_of(entry.record)) for entry in entries]


async def test_a_new_routing_is_in_force_within_seconds(
    web: Web, trainer: FakeTrainer, second_url: str
) -> None:
    trainer.route(a_variant(second_url, version="reviews-2", digest=a_digest("b")))

    async def answered_by_the_second() -> bool:
        return (await web.predict("hello"))["model_version"] == "reviews-2"

    await eventually(answered_by_the_second, within=5)


async def test_an_unchanged_routing_is_not_sent_again(web: Web, trainer: FakeTrainer) -> None:
    bodies = trainer.routing_bodies
    for _ in range(3):
        await web.parts.routing.refresh()
    assert trainer.routing_bodies == bodies
    assert web.parts.routing.reachable


async def test_the_last_routing_stays_in_force_while_the_trainer_is_away(
    web: Web, trainer: FakeTrainer
) -> None:
    trainer.down = True
    await web.parts.routing.refresh()
    assert (await web.predict("great"))["label"] == "positive"
    health = (await web.client.get("/health")).json()
    assert health["status"] == "degraded"
    assert "trainer" in health["detail"]


async def test_it_also_survives_a_restart(
    start_web: StartWeb, trainer: FakeTrainer, tmp_path: Path
) -> None:
    async with start_web() as web:
        await web.predict("great")
    trainer.down = True
    async with start_web() as web:
        assert (await web.predict("great"))["model_version"] == "reviews-1"


async def test_a_spoiled_memory_is_as_good_as_none(
    start_web: StartWeb, trainer: FakeTrainer, tmp_path: Path
) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "routing.json").write_text('{"revision": ')
    async with start_web() as web:
        assert (await web.predict("great"))["model_version"] == "reviews-1"
    assert json.loads((tmp_path / "spool" / "routing.json").read_text())["revision"] == 1


async def test_weights_that_do_not_add_up_are_not_taken(
    web: Web, trainer: FakeTrainer, model_url: str
) -> None:
    trainer.route(a_variant(model_url, weight=60, version="broken"))
    await web.parts.routing.refresh()
    assert web.parts.routing.current.revision == 1
    assert not web.parts.routing.reachable


async def test_rows_say_which_variant_version_and_digest_answered(
    start_web: StartWeb, trainer: FakeTrainer, model_url: str, second_url: str
) -> None:
    trainer.route(a_variant(model_url, weight=50), the_candidate(second_url, weight=50))
    async with start_web() as web:
        for number in range(40):
            await web.predict("hello", **{"x-client-id": f"person-{number}"})
        rows = await spooled(web)
    by_variant = {(row["variant"], row["model_version"], row["digest"]) for row in rows}
    assert by_variant == {
        ("champion", "reviews-1", a_digest()),
        ("candidate", "reviews-2", a_digest("b")),
    }


async def test_a_failing_candidate_costs_nobody_an_answer(
    start_web: StartWeb, trainer: FakeTrainer, second: FakeModel, model_url: str, second_url: str
) -> None:
    second.failing = 500
    trainer.route(a_variant(model_url, weight=0), the_candidate(second_url, weight=100))
    async with start_web() as web:
        answer = await web.predict("great")
        assert answer["model_version"] == "reviews-1"
        assert web.value("sentops_web_fallbacks_total") == 1
        (row,) = await spooled(web)
        assert row["variant"] == "champion"


async def test_a_shadow_sees_the_text_and_nobody_sees_the_shadow(
    start_web: StartWeb, trainer: FakeTrainer, second: FakeModel, model_url: str, second_url: str
) -> None:
    trainer.route(a_variant(model_url), the_candidate(second_url, weight=0, shadow=True))
    async with start_web() as web:
        answer = await web.predict("great")
        assert answer["model_version"] == "reviews-1"
        await eventually(lambda: web.parts.spool.state().rows == 2)
        rows = await spooled(web)
        history = (await web.client.get("/api/history")).json()["predictions"]
    assert {(row["model_version"], row["shadow"]) for row in rows} == {
        ("reviews-1", False),
        ("reviews-2", True),
    }
    assert [one["model_version"] for one in history] == ["reviews-1"]


@pytest.mark.parametrize(("failing", "delay"), [(500, 0.0), (None, 3.0)])
async def test_a_broken_or_slow_shadow_delays_and_fails_nothing(
    start_web: StartWeb,
    trainer: FakeTrainer,
    second: FakeModel,
    model_url: str,
    second_url: str,
    failing: int | None,
    delay: float,
) -> None:
    second.failing, second.delay = failing, delay
    trainer.route(a_variant(model_url), the_candidate(second_url, weight=0, shadow=True))
    async with start_web(model_timeout_seconds=0.5) as web:
        for _ in range(10):
            await web.predict("great")
        rows = await spooled(web)
        skipped = web.value("sentops_web_shadow_texts_total", outcome="skipped") or 0
        assert skipped > 0 or failing
    assert len(rows) == 10


async def test_labels_are_those_the_model_answered_with(
    web: Web, trainer: FakeTrainer, model: FakeModel
) -> None:
    prediction = (await web.predict("great"))["prediction_id"]
    model.answer = lambda text: {  # type: ignore[method-assign]
        "label": "joy",
        "score": 0.8,
        "scores": {"joy": 0.8, "anger": 0.2},
        "model_version": "feelings-1",
        "digest": a_digest("c"),
        "truncated": False,
    }
    await web.predict("great")
    body = {"prediction_id": prediction, "feedback": "anger"}
    assert (await web.client.post("/api/feedback", json=body)).status_code == 201
    body["feedback"] = "positive"
    refused = await web.client.post("/api/feedback", json=body)
    assert refused.json()["labels"] == ["joy", "anger"]
