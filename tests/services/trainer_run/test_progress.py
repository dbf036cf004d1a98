"""Progress arrives at a plain HTTP server in Kubeflow's protocol, and a deaf server harms nothing."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sentops_core import trace_context
from sentops_core.domain.resources import TrainerStatus
from sentops_core.domain.run import RunExit
from sentops_trainer.progress import Progress
from tests.support.training_runs import FAST


@dataclass
class StatusServer:
    url: str = ""
    answer: int = 200
    tokens: set[str] = field(default_factory=set)
    traces: list[str | None] = field(default_factory=list)
    posts: list[TrainerStatus] = field(default_factory=list)

    def percentages(self) -> list[int]:
        return [post.progress_percentage or 0 for post in self.posts]

    def metrics(self) -> set[str]:
        return {metric.name for post in self.posts for metric in post.metrics}


@pytest.fixture
def status_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StatusServer]:
    seen = StatusServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.tokens.add(self.headers["Authorization"])
            seen.traces.append(self.headers["traceparent"])
            seen.posts.append(TrainerStatus.model_validate(body["trainerStatus"]))
            self.send_response(seen.answer)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    seen.url = f"http://127.0.0.1:{server.server_port}/status"
    token = tmp_path / "token"
    token.write_text("secret\n")
    monkeypatch.setenv("KUBEFLOW_TRAINER_SERVER_URL", seen.url)
    monkeypatch.setenv("KUBEFLOW_TRAINER_SERVER_TOKEN", str(token))
    yield seen
    server.shutdown()
    server.server_close()


@pytest.mark.torch
def test_a_linear_run_reports_from_nought_to_a_hundred(
    status_server: StatusServer, train: Any
) -> None:
    train(method="Linear")
    assert status_server.tokens == {"Bearer secret"}
    assert status_server.percentages()[0] == 0
    assert status_server.percentages()[-1] == 100
    assert status_server.percentages() == sorted(status_server.percentages())
    assert {"step", "macro_f1", "accuracy"} <= status_server.metrics()


@pytest.mark.torch
def test_fine_tuning_reports_through_transformers_own_callback(
    status_server: StatusServer, train: Any
) -> None:
    train(method="FineTune", hyperparameters=FAST | {"epochs": 2})
    assert "total_steps" in status_server.metrics()  # only transformers posts this one
    assert status_server.percentages()[-1] == 100


@pytest.mark.torch
def test_a_status_server_that_refuses_does_not_fail_the_run(
    status_server: StatusServer, train: Any
) -> None:
    status_server.answer = 500
    assert train(method="Linear").result.exit is RunExit.OK
    assert status_server.posts


def test_posts_in_quick_succession_are_left_out(status_server: StatusServer) -> None:
    progress = Progress.from_environment()
    for percent in (10, 11, 12):
        progress.report(percent)
    progress.report(90, force=True)
    assert status_server.percentages() == [10, 90]


def test_posts_name_the_trace_of_the_run(status_server: StatusServer) -> None:
    run = trace_context.new_trace()
    with trace_context.working_on(run):
        Progress.from_environment().report(10)
    assert status_server.traces == [run.traceparent]


def test_without_an_address_nothing_is_posted() -> None:
    Progress(None, None).report(50, force=True)


def test_a_server_that_is_away_costs_nothing(tmp_path: Path) -> None:
    Progress("http://127.0.0.1:1/status", str(tmp_path / "no-token")).report(50, force=True)
