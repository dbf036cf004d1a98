"""What cannot be trained on gets an exit code and a sentence that says what to do."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sentops_core.domain.reasons import Reason
from sentops_core.domain.run import RunExit, RunResult
from sentops_trainer.failures import BadData, BadSpec, BaseModelUnavailable
from tests.support.training_runs import (
    StoredDataset,
    a_spec,
    finish,
    sentences,
    start_run,
    store_dataset,
)

pytestmark = pytest.mark.torch
Run = Callable[..., RunResult]


def test_a_dataset_of_one_class_is_refused(run_here: Run, tiny_base: Path, tmp_path: Path) -> None:
    made = sentences(60, seed=1, labels=["positive"])
    dataset = store_dataset(tmp_path / "dataset", made[:40], made[40:])
    with pytest.raises(BadData, match="every training row is positive"):
        run_here(a_spec(dataset, tiny_base, tmp_path / "store"), tmp_path / "work")


def test_three_rows_are_refused(run_here: Run, tiny_base: Path, tmp_path: Path) -> None:
    made = sentences(12, seed=1)
    dataset = store_dataset(tmp_path / "dataset", made[:3], made[3:])
    with pytest.raises(BadData, match="3 training rows are too few: at least 20"):
        run_here(a_spec(dataset, tiny_base, tmp_path / "store"), tmp_path / "work")


def test_a_held_out_row_among_the_training_rows_is_refused(
    run_here: Run, tiny_base: Path, tmp_path: Path
) -> None:
    made = sentences(60, seed=1)
    dataset = store_dataset(tmp_path / "dataset", made[:40], made[39:])
    with pytest.raises(BadData, match="1 held-out rows are also training rows"):
        run_here(a_spec(dataset, tiny_base, tmp_path / "store"), tmp_path / "work")


def test_a_dataset_without_held_out_rows_is_refused(
    run_here: Run, tiny_base: Path, tmp_path: Path
) -> None:
    dataset = store_dataset(tmp_path / "dataset", sentences(60, seed=1), [])
    with pytest.raises(BadData, match="no held-out rows"):
        run_here(a_spec(dataset, tiny_base, tmp_path / "store"), tmp_path / "work")


def test_a_dataset_with_another_hash_is_refused(
    run_here: Run, tiny_base: Path, dataset: StoredDataset, tmp_path: Path
) -> None:
    spec = a_spec(dataset, tiny_base, tmp_path / "store", dataset_hash="sha256:" + "0" * 64)
    with pytest.raises(BadData, match="wanted is sha256:000"):
        run_here(spec, tmp_path / "work")


def test_a_hyperparameter_without_use_is_refused(
    run_here: Run, tiny_base: Path, dataset: StoredDataset, tmp_path: Path
) -> None:
    spec = a_spec(dataset, tiny_base, tmp_path / "store", hyperparameters={"epochs": 3})
    with pytest.raises(BadSpec, match="the method Linear does not use epochs"):
        run_here(spec, tmp_path / "work")


def test_a_base_model_that_generates_text_is_refused(
    run_here: Run, tiny_base: Path, dataset: StoredDataset, tmp_path: Path
) -> None:
    from transformers import GPT2Config, GPT2Model

    folder = tmp_path / "base"
    GPT2Model(GPT2Config(vocab_size=40, n_embd=32, n_layer=1, n_head=2)).save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes((tiny_base / "tokenizer.json").read_bytes())
    with pytest.raises(BaseModelUnavailable, match="use an encoder"):
        run_here(a_spec(dataset, folder, tmp_path / "store"), tmp_path / "work")


def test_a_missing_base_model_ends_the_process_with_its_own_exit_code(
    dataset: StoredDataset, tmp_path: Path
) -> None:
    spec = a_spec(dataset, tmp_path / "nowhere", tmp_path / "store")
    ended = finish(start_run(spec, tmp_path / "work"), tmp_path / "work")

    assert ended.code == RunExit.BASE_MODEL
    assert ended.result.exit is RunExit.BASE_MODEL
    assert ended.result.reason is Reason.BASE_MODEL_UNAVAILABLE
    assert "holds no config.json" in ended.result.message
    assert (tmp_path / "work" / "result-1.json").read_bytes() == ended.line
    assert not (tmp_path / "store").exists()


def test_a_store_that_cannot_be_written_fails_the_run_and_leaves_nothing_there(
    run_here: Run, tiny_base: Path, dataset: StoredDataset, tmp_path: Path
) -> None:
    from sentops_core.domain.errors import PlatformError

    store = tmp_path / "store"
    store.write_text("a file where a folder must be")
    with pytest.raises((PlatformError, OSError)):
        run_here(a_spec(dataset, tiny_base, store), tmp_path / "work")
    assert store.read_text() == "a file where a folder must be"
