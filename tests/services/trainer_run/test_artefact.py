"""What a run publishes is what it trained, and what it says about it is true."""

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from sentops_core.artifacts import fetch_artifact, read_manifest
from sentops_core.domain.run import RunExit
from sentops_core.inference import Scorer
from sentops_trainer.rows import read_dataset
from tests.support.training_runs import FAST, LABELS, Done

pytestmark = pytest.mark.torch
METHODS = ["linear", "fine_tuned"]


@pytest.fixture
def done(request: pytest.FixtureRequest) -> Done:
    found: Done = request.getfixturevalue(request.param)
    return found


def published(done: Done, cache: Path) -> Path:
    assert done.result.artifact is not None
    return fetch_artifact(done.result.artifact.storage_uri, done.result.artifact.digest, cache)


@pytest.mark.parametrize("done", METHODS, indirect=True)
def test_the_reloaded_artefact_scores_what_was_reported(done: Done, tmp_path: Path) -> None:
    from sentops_trainer.engine.packaging import measure

    holdout = read_dataset(Path(done.spec.dataset_uri.removeprefix("file://")), done.spec).holdout
    scorer = Scorer.load(published(done, tmp_path))
    evaluation = measure(LABELS, holdout, scorer.score(holdout.texts))

    assert evaluation == done.result.evaluation
    assert read_manifest(scorer.folder).evaluation == evaluation


@pytest.mark.parametrize("done", METHODS, indirect=True)
def test_a_trained_model_is_better_than_guessing(done: Done) -> None:
    assert done.result.exit is RunExit.OK
    assert done.result.evaluation is not None
    assert done.result.evaluation.macro_f1 > 0.6


@pytest.mark.parametrize("done", METHODS, indirect=True)
def test_the_golden_predictions_cover_labels_languages_and_a_cut_text(
    done: Done, tmp_path: Path
) -> None:
    folder = published(done, tmp_path)
    scorer = Scorer.load(folder)
    golden = [json.loads(line) for line in (folder / "golden.jsonl").read_text().splitlines()]

    scorer.verify_golden()
    assert 10 <= len(golden) <= 21
    assert {row["label"] for row in golden} == set(LABELS)
    assert any(scorer.score_one(row["text"]).truncated for row in golden)
    assert any("prodotto" in row["text"] for row in golden)


@pytest.mark.parametrize("done", METHODS, indirect=True)
def test_the_card_names_data_scores_settings_and_sources(done: Done, tmp_path: Path) -> None:
    card = (published(done, tmp_path) / "card.md").read_text()

    assert done.spec.dataset_hash in card
    assert "made for a test" in card
    assert "| positive |" in card
    assert "seed: 1" in card
    assert done.spec.base_model_uri in card


@pytest.mark.parametrize("done", METHODS, indirect=True)
def test_nothing_but_the_artefact_and_its_note_stays_in_the_work_folder(done: Done) -> None:
    left = {path.name for path in done.folder.iterdir()}
    assert left <= {"artifact", "trained.json", "cache"}


def test_fine_tuning_changes_the_encoder_and_a_linear_head_leaves_it_alone(
    linear: Done, fine_tuned: Done
) -> None:
    """Every layer norm of the base multiplies by one; in a fine-tuned one none does."""
    assert _untouched_layer_norms(linear.folder)
    assert not _untouched_layer_norms(fine_tuned.folder)


def test_another_seed_gives_another_model(train: Callable[..., Done], fine_tuned: Done) -> None:
    other = train(method="FineTune", hyperparameters=FAST | {"seed": 2})
    assert other.result.artifact is not None
    assert fine_tuned.result.artifact is not None
    assert other.result.artifact.digest != fine_tuned.result.artifact.digest
    assert _model(other.folder) != _model(fine_tuned.folder)


def test_the_same_seed_gives_the_same_model(train: Callable[..., Done], fine_tuned: Done) -> None:
    again = train(method="FineTune", hyperparameters=FAST)
    assert again.result.evaluation == fine_tuned.result.evaluation
    assert _model(again.folder) == _model(fine_tuned.folder)


def test_the_must_pass_examples_are_asked_of_the_published_model(linear: Done) -> None:
    assert linear.result.must_pass is not None
    assert linear.result.must_pass.total == 1


def _model(folder: Path) -> bytes:
    return (folder / "artifact" / "model.onnx").read_bytes()


def _untouched_layer_norms(folder: Path) -> int:
    graph = onnx.load(folder / "artifact" / "model.onnx").graph
    arrays = [onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer]
    return sum(array.shape == (32,) and bool((array == 1).all()) for array in arrays)


@pytest.mark.parametrize("done", METHODS, indirect=True)
def test_the_answers_for_the_held_out_rows_are_kept_without_their_texts(
    done: Done, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    rows = pq.read_table(published(done, tmp_path) / "answers.parquet").to_pylist()
    holdout = read_dataset(Path(done.spec.dataset_uri.removeprefix("file://")), done.spec).holdout
    assert {row["content_hash"] for row in rows} == set(holdout.hashes)
    assert set(rows[0]) == {"content_hash", "truth", "answer", "score"}
    right = sum(row["truth"] == row["answer"] for row in rows) / len(rows)
    assert done.result.evaluation is not None
    assert right == pytest.approx(done.result.evaluation.accuracy, abs=1e-6)


def test_of_very_many_held_out_rows_always_the_same_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np
    import pyarrow.parquet as pq

    from sentops_core.inference import Scored
    from sentops_trainer.engine import packaging
    from sentops_trainer.rows import Rows

    monkeypatch.setattr(packaging, "MOST_ANSWERS", 2)
    hashes = ["c" * 64, "a" * 64, "b" * 64]
    rows = Rows(hashes, ["x"] * 3, np.array([0, 1, 0]), [""] * 3, np.ones(3))
    scored = [Scored("negative", 0.9, {}, False)] * 3
    packaging.write_answers(tmp_path, LABELS, rows, scored)
    kept = pq.read_table(tmp_path / "answers.parquet")["content_hash"].to_pylist()
    assert kept == ["a" * 64, "b" * 64]
