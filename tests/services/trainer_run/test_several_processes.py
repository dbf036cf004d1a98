"""One training in several processes: started as on the nodes of a cluster, each node with a folder of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from sentops_core.domain.reasons import Reason
from sentops_core.domain.run import RunExit, RunResult, RunSpec
from sentops_trainer.failures import BadSpec
from sentops_trainer.ranks import Ranks
from tests.support.eventually import eventually
from tests.support.training_runs import FAST, StoredDataset, a_spec

pytestmark = pytest.mark.torch
ROOT = Path(__file__).parents[3]
LONG = {"seed": 1, "epochs": 60, "learning_rate": "1e-3", "batch_size": 8}
LONG |= {"early_stopping_patience": 20}


@dataclass(frozen=True)
class Node:
    """A launcher, as the one container of a pod."""

    launcher: "subprocess.Popen[bytes]"
    folder: Path

    def ends(self) -> int:
        return self.launcher.wait(timeout=150)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    @property
    def results(self) -> list[RunResult]:
        lines = (self.folder / "stdout").read_text().splitlines()
        return [RunResult.model_validate_json(line) for line in lines]

    def checkpoints(self) -> list[Path]:
        return [
            path.parent for path in self.folder.glob("training/checkpoint-*/trainer_state.json")
        ]

    def workers(self) -> list[psutil.Process]:
        """By rank, once they run."""
        children = psutil.Process(self.launcher.pid).children()
        ours = [child for child in children if "--spec" in child.cmdline()]
        return sorted(ours, key=lambda child: int(child.environ()["RANK"]))


class Cluster:
    """Nodes of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.launchers: list[subprocess.Popen[bytes]] = []

    def start(self, spec: RunSpec, *, nodes: int, each: int, module: str) -> list[Node]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        launch = [sys.executable, "-m", "sentops_trainer.engine.launch"]
        launch += ["--nnodes", str(nodes), "--nproc-per-node", str(each)]
        launch += ["--master-addr", "127.0.0.1", "--master-port", port]
        started = []
        for rank in range(nodes):
            folder = self.folder / f"node-{rank}"
            folder.mkdir(exist_ok=True)
            (folder / "spec.json").write_text(spec.model_dump_json())
            run = ["-m", module, "--spec", str(folder / "spec.json"), "--out", str(folder)]
            with (folder / "stdout").open("wb") as output, (folder / "log").open("ab") as log:
                launcher = subprocess.Popen(
                    [*launch, "--node-rank", str(rank), *run],
                    stdout=output,
                    stderr=log,
                    cwd=ROOT,
                    env={
                        **os.environ,
                        "SENTOPS_RUN_THREADS": "1",
                        "RECORD_FOLDER": str(self.folder),
                    },
                )
            self.launchers.append(launcher)
            started.append(Node(launcher, folder))
        return started


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    for launcher in made.launchers:
        if launcher.poll() is None:
            for process in [*psutil.Process(launcher.pid).children(recursive=True), launcher]:
                process.kill()
        launcher.wait()


def start(
    cluster: Cluster,
    spec: RunSpec,
    *,
    nodes: int = 1,
    each: int = 2,
    module: str = "sentops_trainer.run",
) -> list[Node]:
    return cluster.start(spec, nodes=nodes, each=each, module=module)


def test_two_nodes_train_one_model_each_on_its_share_of_the_rows(
    cluster: Cluster, tiny_base: Path, dataset: StoredDataset, tmp_path: Path
) -> None:
    spec = a_spec(dataset, tiny_base, tmp_path / "store", method="FineTune", hyperparameters=FAST)
    first, second = start(cluster, spec, nodes=2, each=1, module="tests.support.recorded_run")

    assert (first.ends(), second.ends()) == (0, 0), first.log + second.log

    (result,) = first.results
    assert second.results == []
    assert not (second.folder / "artifact").exists()
    assert not list(second.folder.glob("result-*.json"))
    assert result.evaluation is not None
    assert result.evaluation.macro_f1 > 0.8
    metrics = json.loads((first.folder / "artifact" / "metrics.json").read_text())
    assert metrics["training"]["processes"] == 2
    assert len(list((tmp_path / "store" / "artifacts").iterdir())) == 1

    weights = {(tmp_path / f"rank-{rank}.weights").read_text() for rank in (0, 1)}
    assert len(weights) == 1, "both processes end with the same weights"

    rows = 180  # of 200; a tenth validates
    shares = [rows_of_each_epoch(tmp_path / f"rank-{rank}.rows") for rank in (0, 1)]
    for epoch in range(3):
        ours, theirs = shares[0][epoch], shares[1][epoch]
        assert len(ours) == len(theirs), "as many steps here as there"
        assert set(ours) | set(theirs) == set(range(rows))
        # The last batch is filled up with rows that were there already.
        assert len(set(ours) & set(theirs)) <= FAST["batch_size"]
    assert shares[0][0] != shares[0][1], "another order in every epoch"


def rows_of_each_epoch(notes: Path) -> list[list[int]]:
    numbers = [int(line) for line in notes.read_text().splitlines()]
    length = len(numbers) // 3
    return [numbers[start : start + length] for start in range(0, len(numbers), length)]


async def test_sigterm_ends_all_processes_after_a_checkpoint_and_the_next_attempt_goes_on(
    cluster: Cluster, tiny_base: Path, dataset: StoredDataset, tmp_path: Path
) -> None:
    spec = a_spec(dataset, tiny_base, tmp_path / "store", method="FineTune", hyperparameters=LONG)
    (node,) = start(cluster, spec)
    await eventually(lambda: bool(node.checkpoints()), within=120)
    node.launcher.send_signal(signal.SIGTERM)

    assert node.ends() == RunExit.CANCELLED, node.log
    assert {result.exit for result in node.results} == {RunExit.CANCELLED}
    assert not list(node.folder.glob("result-*.json"))
    reached = max(int(path.name.partition("-")[2]) for path in node.checkpoints())

    (node,) = start(cluster, spec.model_copy(update={"attempt": 2}))
    await eventually(lambda: f'"resumed_from": "checkpoint-{reached}"' in node.log, within=120)


async def test_a_process_that_is_killed_fails_the_run_with_its_own_code(
    cluster: Cluster, tiny_base: Path, dataset: StoredDataset, tmp_path: Path
) -> None:
    spec = a_spec(dataset, tiny_base, tmp_path / "store", method="FineTune", hyperparameters=LONG)
    (node,) = start(cluster, spec)
    await eventually(lambda: bool(node.checkpoints()), within=120)
    node.workers()[1].kill()

    assert node.ends() == 128 + signal.SIGKILL, node.log
    assert [result.exit for result in node.results] in ([], [RunExit.CANCELLED])
    assert not (tmp_path / "store").exists()


async def test_a_node_that_is_gone_ends_the_others_as_stopped_since_they_did_not_fail(
    cluster: Cluster, tiny_base: Path, dataset: StoredDataset, tmp_path: Path
) -> None:
    spec = a_spec(dataset, tiny_base, tmp_path / "store", method="FineTune", hyperparameters=LONG)
    first, second = start(cluster, spec, nodes=2, each=1)
    await eventually(lambda: bool(first.checkpoints()), within=120)
    for process in [*second.workers(), second.launcher]:
        process.kill()

    assert first.ends() == RunExit.CANCELLED, first.log
    (result,) = first.results
    assert result.reason is Reason.CANCELLED
    assert "another process of this run ended" in result.message


def test_bad_data_keeps_its_exit_code_and_its_sentence(
    cluster: Cluster, tiny_base: Path, dataset: StoredDataset, tmp_path: Path
) -> None:
    other = StoredDataset(dataset.uri, "sha256:" + "0" * 64)
    spec = a_spec(other, tiny_base, tmp_path / "store", method="FineTune", hyperparameters=FAST)
    (node,) = start(cluster, spec)
    assert node.ends() == RunExit.BAD_DATA, node.log
    assert Reason.BAD_DATA in {result.reason for result in node.results}


def test_the_linear_method_is_refused_in_several_processes(
    cluster: Cluster, tiny_base: Path, dataset: StoredDataset, tmp_path: Path
) -> None:
    (node,) = start(cluster, a_spec(dataset, tiny_base, tmp_path / "store"))
    assert node.ends() == RunExit.BAD_SPEC, node.log
    assert any("trains in one process, not in 2" in result.message for result in node.results)


def test_ranks_come_from_what_torchrun_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Ranks.from_environment() == Ranks(own=0, total=1, on_this_node=1)
    for name, value in {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert Ranks.from_environment() == Ranks(own=3, total=8, on_this_node=4)
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(BadSpec, match="RANK is 'first'"):
        Ranks.from_environment()
