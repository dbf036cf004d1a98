"""The reference server and the model server answer from the same weights and the same tokenizer."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from benchmarks.support.servers import our_server, reference_server
from benchmarks.support.trained import ModelUnderTest, Recipe, named, trained
from benchmarks.support.visit import Known, Plan, visit
from sentops_core.inference import Scorer
from tests.support.tiny_base import build_tiny_base
from tests.support.training_runs import FAST, sentences

pytestmark = pytest.mark.torch

ROWS = sentences(150, seed=7)
TEXTS = [text for text, _ in ROWS[:40]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelUnderTest:
    folder = tmp_path_factory.mktemp("bench")
    base = build_tiny_base(folder / "base").as_uri()
    recipe = Recipe(base, "FineTune", dict(FAST), train=ROWS[:110], holdout=ROWS[110:])
    first = trained(recipe, folder)
    assert trained(recipe, folder) == first  # the second time from the cache
    return first


def test_the_reference_answers_what_the_artefact_answers(model: ModelUnderTest) -> None:
    from benchmarks.reference_server import build_app

    alone = Scorer.load(model.folder).score(TEXTS)
    with TestClient(build_app(model.weights)) as client:
        answers = [client.post("/predict", json={"text": text}).json() for text in TEXTS]
    agreeing = [one.label == other["label"] for one, other in zip(alone, answers, strict=True)]
    assert sum(agreeing) >= 0.95 * len(TEXTS)
    assert len({answer["label"] for answer in answers}) == 3


def test_an_artefact_can_be_named_by_its_address_alone(
    model: ModelUnderTest, tmp_path: Path
) -> None:
    again = named(model.uri, None, model.weights, tmp_path)
    assert again.digest == model.digest
    with pytest.raises(SystemExit, match=r"holds no config\.json"):
        named(model.uri, None, tmp_path, tmp_path)


@pytest.mark.parametrize("make", [lambda model: our_server(model, {}), reference_server])
async def test_a_visit_measures_a_real_server(make, model: ModelUnderTest) -> None:
    plan = Plan(TEXTS, cores=[], clients=2, seconds=0.5, limit=0.5)
    known = Known()
    first = await visit(make(model), plan, known, search=True)
    assert len(known.answers) == len(TEXTS)
    assert sum(known.changed.values()) == 0
    assert first["clients"]["failed"] == 0
    assert first["clients"]["cpu_seconds_per_1000"] > 0
    assert first["rss_mb"] > 20
    assert first["cold_start_seconds"] > 0.1
    assert first["open_loop"]["sustained_per_second"] > 0
    assert first["open_loop"]["at_half"]["p99_ms"] > 0


def test_another_answer_than_alone_is_counted() -> None:
    known = Known([{"label": "a"}, {"label": "b"}])
    known.compare([{"label": "a"}, {"label": "a"}], "in a batch")
    known.compare([{"label": "b"}, {"label": "b"}], "in a batch")
    assert known.changed == {"in a batch": 2}
