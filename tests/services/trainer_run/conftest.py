"""One tiny base and one trained run per method, shared by the tests that only look at them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sentops_core.domain.run import RunResult, RunSpec
from tests.support.tiny_base import build_tiny_base
from tests.support.training_runs import FAST, Done, StoredDataset, a_dataset, a_spec


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> StoredDataset:
    return a_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.fixture(scope="session")
def run_here() -> Callable[..., RunResult]:
    """The attempt in this process: for what needs neither signals nor exit codes."""

    def run(spec: RunSpec, folder: Path) -> RunResult:
        import torch

        from sentops_trainer.engine import attempt
        from sentops_trainer.progress import Progress
        from sentops_trainer.stopping import Stop

        torch.set_num_threads(1)  # idle threads that spin cost more than so small a model gains
        folder.mkdir(parents=True, exist_ok=True)
        return attempt.run(spec, folder, Progress.from_environment(), Stop())

    return run


@pytest.fixture(scope="session")
def train(
    tiny_base: Path,
    dataset: StoredDataset,
    run_here: Callable[..., RunResult],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Done]:
    def run(**changes: Any) -> Done:
        root = tmp_path_factory.mktemp("run")
        spec = a_spec(dataset, tiny_base, root / "store", **changes)
        return Done(spec, root / "work", root / "store", run_here(spec, root / "work"))

    return run


@pytest.fixture(scope="session")
def linear(train: Callable[..., Done]) -> Done:
    return train(method="Linear", must_pass=({"text": "a lovely box", "label": "positive"},))


@pytest.fixture(scope="session")
def fine_tuned(train: Callable[..., Done]) -> Done:
    return train(method="FineTune", hyperparameters=FAST)
