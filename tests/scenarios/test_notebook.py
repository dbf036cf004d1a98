"""The notebook for data scientists, run from top to bottom against the real programs."""

import asyncio
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.scenarios.platform import LENIENT_GATE, Platform
from tests.support.mlflow_server import MlflowServer
from tests.support.reviews import some_reviews, to_csv
from tests.support.tiny_base import build_tiny_base

NOTEBOOK = Path(__file__).parents[2] / "services/trainer/notebooks/01_data_and_training.ipynb"


@pytest.fixture
def trainer_settings(mlflow: MlflowServer) -> dict[str, str]:
    return {"MLFLOW_URL": mlflow.url, "MLFLOW_SECONDS": "0.5", "MODEL_NAME": "in-the-notebook"}


async def executed(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> str:
    """All that its cells print and show."""
    for name in ("SENTOPS_TRAINER_TOKEN", "SENTOPS_BACKOFFICE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    await asyncio.to_thread(NotebookClient(notebook, timeout=180).execute)
    shown: list[str] = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            told: dict[str, Any] = output.get("data", {})
            shown += [output.get("text", ""), told.get("text/html", ""), told.get("text/plain", "")]
    return "\n".join(shown)


def environment_of(platform: Platform, mlflow: MlflowServer, **options: object) -> dict[str, str]:
    return {
        "SENTOPS_BACKOFFICE_URL": platform.backoffice.url,
        "SENTOPS_BACKOFFICE_API_TOKEN": platform.token,
        "SENTOPS_TRAINER_URL": platform.trainer.url,
        "SENTOPS_TRAINER_TOKEN": platform.token,
        "MLFLOW_URL": mlflow.url,
        "TRAIN_OPTIONS": json.dumps(options),
    }


def test_it_is_committed_without_outputs() -> None:
    notebook = json.loads(NOTEBOOK.read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 8
    for cell in cells:
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        assert len(cell["source"]) <= 45, "a cell is something to read"


async def test_without_addresses_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CellExecutionError, match="Set SENTOPS_BACKOFFICE_API_TOKEN first"):
        await executed(monkeypatch, {"SENTOPS_BACKOFFICE_URL": "http://127.0.0.1:9"})


@pytest.mark.pg
@pytest.mark.torch
@pytest.mark.mlflow
@pytest.mark.timeout(600)
async def test_it_leads_from_a_dataset_to_a_serving_version_and_no_further_than_the_gate(
    platform: Platform,
    mlflow: MlflowServer,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = f"file://{build_tiny_base(tmp_path_factory.mktemp('base'))}"
    await platform.upload("reviews.csv", to_csv(some_reviews(90)), licence="CC0")

    tuned = {"method": "FineTune", "hyperparameters": {"epochs": 2, "batchSize": 8}}
    asked = environment_of(platform, mlflow, base=base, gate=LENIENT_GATE, **tuned)
    shown = await executed(monkeypatch, asked | {"PROMOTE": "yes"})
    assert "licence: CC0" in shown
    assert "Succeeded" in shown
    assert "macro-F1" in shown
    assert "is / is called" in shown
    assert "nobody: this is the first version" in shown
    assert "<td>learning_rate</td>" in shown, "from MLflow"
    assert "<td>training.loss</td>" in shown, "what transformers reported while it trained"
    assert "asked for" in shown
    assert "champion in-the-notebook-v1 100 %" in shown
    await platform.live("in-the-notebook-v1")

    strict = {**LENIENT_GATE, "minSamples": 100_000}
    asked = environment_of(platform, mlflow, base=base, gate=strict, method="Linear")
    shown = await executed(monkeypatch, asked | {"PROMOTE": "yes"})
    assert "Inconclusive against in-the-notebook-v1" in shown
    assert "The gate's verdict on in-the-notebook-v2 is Inconclusive" in shown
    assert "champion in-the-notebook-v1 100 %" in shown

    audit = await platform.get(platform.backoffice, "/backoffice/api/audit")
    done = {(line["actor"], line["action"]) for line in audit["lines"]}
    assert ("notebook", "model_version.promotion_requested") in done
