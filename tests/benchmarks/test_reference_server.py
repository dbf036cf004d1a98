"""The reference server and the model server answer from the same weights and the same tokenizer."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from fastapi.testclient import TestClient

from benchmarks.support.servers import our_server
from benchmarks.support.trained import ROOT, ModelUnderTest, Recipe, named, trained
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
    assert named(model.uri, None, None, tmp_path).weights is None
    with pytest.raises(SystemExit, match=r"holds no config\.json"):
        named(model.uri, None, tmp_path, tmp_path)


async def test_a_visit_measures_a_real_server(model: ModelUnderTest) -> None:
    plan = Plan(TEXTS, cores=[], clients=2, seconds=0.3, limit=0.5)
    known = Known()
    first = await visit(our_server(model, {}), plan, known, search=True)
    assert len(known.answers) == len(TEXTS)
    assert sum(known.changed.values()) == 0
    assert first["clients"]["failed"] == 0
    assert first["clients"]["cpu_seconds_per_1000"] > 0
    assert first["rss_mb"] > 20
    assert first["cold_start_seconds"] > 0.1
    assert first["open_loop"]["sustained_per_second"] > 0
    assert first["open_loop"]["at_half"]["p99_ms"] > 0


def test_the_whole_report_is_one_json_document(model: ModelUnderTest, tmp_path: Path) -> None:
    texts, drawing = tmp_path / "texts.txt", tmp_path / "result.svg"
    texts.write_text("\n".join(TEXTS))
    command = [sys.executable, "-m", "benchmarks.model", "--artifact", model.uri, "--no-search"]
    command += ["--texts", str(texts), "--pairs", "1", "--seconds", "0.3"]
    command += ["--weights", str(model.weights), "--picture", str(drawing)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    report = json.loads(ended.stdout)
    assert report["model"]["digest"] == model.digest
    assert report["changed_answers"]["total"] == 0
    assert report["cpu_seconds_per_1000"]["sentops"]["median"] > 0
    assert 0 <= report["limit"]["share_by_cpu"] < 1
    assert report["limit"]["mflop_per_answer"] != {"fp32": 0, "int8": 0}
    assert report["servers"]["sentops"]["visits"][0]["burst"]["long_texts_answered"] > 0
    assert report["agreement_of_labels"]["sentops with reference"] >= 0.95
    targets = {one["name"]: one for one in report["targets"]}
    assert targets["answers that change with load or batch"]["met"]
    beside = targets["times less CPU than the reference, exact"]
    assert beside["met"] == (beside["value"] >= 6)
    assert targets["times less CPU than KServe, exact"]["met"] is None  # it was not asked for
    drawn = ET.fromstring(drawing.read_text())
    assert len(drawn.findall("{*}rect")) == len(report["servers"])


def test_another_answer_than_alone_is_counted() -> None:
    known = Known([{"label": "a"}, {"label": "b"}])
    known.compare([{"label": "a"}, {"label": "a"}], "in a batch")
    known.compare([{"label": "b"}, {"label": "b"}], "in a batch")
    assert known.changed == {"in a batch": 2}
