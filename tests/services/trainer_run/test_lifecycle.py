"""Stopping, dying, going on, and doing no work twice."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from sentops_core.domain.reasons import Reason
from sentops_core.domain.run import ChampionRef, RunExit, RunResult
from tests.support.eventually import eventually
from tests.support.tiny_base import build_tiny_base
from tests.support.training_runs import Done, StoredDataset, a_spec, finish, start_run

pytestmark = pytest.mark.torch
LONG = {
    "seed": 1,
    "epochs": 12,
    "learning_rate": "1e-3",
    "batch_size": 8,
    "early_stopping_patience": 20,
}


def checkpoints(folder: Path) -> list[Path]:
    """The whole ones: trainer_state.json is written last."""
    return [path.parent for path in folder.glob("training/checkpoint-*/trainer_state.json")]


async def test_a_killed_run_goes_on_from_its_last_checkpoint(
    tiny_base: Path, dataset: StoredDataset, tmp_path: Path
) -> None:
    spec = a_spec(dataset, tiny_base, tmp_path / "store", method="FineTune", hyperparameters=LONG)
    folder = tmp_path / "work"
    first = start_run(spec, folder)
    await eventually(lambda: bool(checkpoints(folder)), within=120)
    first.kill()
    output, _ = first.communicate()
    assert output == b""
    reached = max(int(path.name.partition("-")[2]) for path in checkpoints(folder))
    half = folder / "training" / "checkpoint-99999"  # what a kill in the middle of writing leaves
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")

    second = finish(start_run(spec.model_copy(update={"attempt": 2}), folder), folder, attempt=2)

    assert second.code == 0, second.log[-3000:]
    metrics = json.loads((folder / "artifact" / "metrics.json").read_text())
    resumed_from = int(metrics["training"]["resumed_from"].partition("-")[2])
    assert 0 < resumed_from <= reached
    assert (folder / "result-2.json").read_bytes() == second.line


async def test_sigterm_saves_a_checkpoint_and_exits_with_143(
    tiny_base: Path, dataset: StoredDataset, tmp_path: Path
) -> None:
    spec = a_spec(dataset, tiny_base, tmp_path / "store", method="FineTune", hyperparameters=LONG)
    folder = tmp_path / "work"
    process = start_run(spec, folder)
    await eventually(lambda: bool(checkpoints(folder)), within=120)
    process.send_signal(signal.SIGTERM)
    ended = finish(process, folder)

    assert ended.code == 143, ended.log[-3000:]
    assert ended.result.exit is RunExit.CANCELLED
    assert ended.result.reason is Reason.CANCELLED
    assert checkpoints(folder)
    assert not (folder / "result-1.json").exists()
    assert not (tmp_path / "store").exists()


def test_a_trained_folder_is_evaluated_again_and_not_trained_again(
    dataset: StoredDataset, run_here: Callable[..., RunResult], tmp_path: Path
) -> None:
    base = build_tiny_base(tmp_path / "base")
    spec = a_spec(dataset, base, tmp_path / "store")
    first = run_here(spec, tmp_path / "work")
    assert first.artifact is not None
    shutil.rmtree(base)  # whoever trained again would miss it
    champion = ChampionRef(
        model_version="tiny-1",
        storage_uri=first.artifact.storage_uri,
        digest=first.artifact.digest,
    )

    second = run_here(
        spec.model_copy(update={"attempt": 2, "champion": champion}), tmp_path / "work"
    )

    assert second.artifact == first.artifact
    assert second.evaluation == first.evaluation
    assert second.paired is not None
    assert second.paired.champion_version == "tiny-1"
    assert second.paired.only_candidate_right == second.paired.only_champion_right == 0
    assert second.paired.macro_f1_difference == 0


def test_an_artefact_damaged_in_the_work_folder_is_made_anew(
    train: Callable[..., Done], run_here: Callable[..., RunResult]
) -> None:
    done = train()
    (done.folder / "artifact" / "model.onnx").write_bytes(b"damaged")

    again = run_here(done.spec.model_copy(update={"attempt": 2}), done.folder)

    assert again.exit is RunExit.OK
    assert again.evaluation == done.result.evaluation


def test_a_candidate_is_compared_with_a_champion_on_the_same_rows(
    linear: Done, fine_tuned: Done, run_here: Callable[..., RunResult]
) -> None:
    artifact = linear.result.artifact
    assert artifact is not None
    champion = ChampionRef(
        model_version="tiny-1", storage_uri=artifact.storage_uri, digest=artifact.digest
    )
    result = run_here(
        fine_tuned.spec.model_copy(update={"champion": champion, "attempt": 2}), fine_tuned.folder
    )
    paired = result.paired
    assert paired is not None
    assert result.evaluation is not None
    assert paired.champion == linear.result.evaluation
    assert (
        paired.both_right
        + paired.only_candidate_right
        + paired.only_champion_right
        + paired.neither_right
        == result.evaluation.rows
    )
    assert paired.macro_f1_difference_low <= paired.macro_f1_difference
    assert paired.macro_f1_difference <= paired.macro_f1_difference_high


def test_a_champion_that_cannot_be_loaded_fails_the_run_with_a_sentence(
    linear: Done, run_here: Callable[..., RunResult]
) -> None:
    from sentops_trainer.failures import RunFailure

    champion = ChampionRef(
        model_version="tiny-0",
        storage_uri=(linear.store / "artifacts" / "gone").as_uri(),
        digest="sha256:" + "0" * 64,
    )
    spec = linear.spec.model_copy(update={"champion": champion, "attempt": 3})
    with pytest.raises(RunFailure, match="the champion tiny-0 cannot be loaded"):
        run_here(spec, linear.folder)
