"""The samples: admitted as they stand, and the scheduled one really asks for a training."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import kubernetes_validate
import pytest
import yaml

from tests.k8s.test_same_documents import RESOURCES, by_the_model

SAMPLES = Path(__file__).parents[2] / "k8s" / "samples"
FILES = sorted(path.name for path in SAMPLES.glob("*.yaml"))


def documents_of(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((SAMPLES / name).read_text()))


def spec_of(name: str) -> dict[str, Any]:
    (document,) = documents_of(name)
    return document["spec"]


@pytest.mark.parametrize("name", FILES)
def test_a_sample_is_admitted(name: str) -> None:
    for document in documents_of(name):
        if document["kind"] in RESOURCES:
            assert RESOURCES[document["kind"]].refusals(document) == []
            assert by_the_model(document) == []
        else:
            kubernetes_validate.validate(document, "1.36", strict=True)


@pytest.mark.parametrize("name", FILES)
def test_a_sample_says_how_it_is_used_and_uses_no_foreign_image(name: str) -> None:
    text = (SAMPLES / name).read_text()
    assert f"kubectl apply -f k8s/samples/{name}" in text
    images = [line.split("image:")[1].strip() for line in text.splitlines() if " image:" in line]
    assert all(image.startswith("sentops-") for image in images)


def test_the_samples_are_those_that_newcomers_ask_for() -> None:
    assert [name.removesuffix(".yaml") for name in FILES] == [
        *("first-training", "gpu", "manual-approval", "private-hub-model", "retraining"),
        *("scheduled", "several-nodes"),
    ]
    assert spec_of("manual-approval.yaml")["promotion"]["mode"] == "Manual"
    assert spec_of("gpu.yaml")["trainer"]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert spec_of("several-nodes.yaml")["trainer"]["numNodes"] > 1
    assert spec_of("private-hub-model.yaml")["baseModel"]["secretRef"] == {"name": "hub"}


class Trainer:
    """A listener that answers as the trainer would, and remembers what it was asked."""

    def __init__(self, train_status: int, known: bool) -> None:
        self.asked: list[tuple[str, str, Any, str | None]] = []
        trainer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                trainer.note(self)
                self.answer(train_status, {"name": "tonight-1", "detail": "why not"})

            def do_GET(self) -> None:
                trainer.note(self)
                self.answer(200 if known else 404, {})

            def answer(self, status: int, body: Any) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def note(self, request: BaseHTTPRequestHandler) -> None:
        length = int(request.headers.get("Content-Length", 0))
        body = json.loads(request.rfile.read(length) or b"null")
        self.asked.append(
            (request.command, request.path, body, request.headers.get("Authorization"))
        )

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def scheduled_container() -> dict[str, Any]:
    cron_job = documents_of("scheduled.yaml")[0]
    (container,) = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return container


def run_scheduled(trainer: Trainer) -> subprocess.CompletedProcess[str]:
    container = scheduled_container()
    plain = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    given = {
        "TRAINER_URL": f"http://127.0.0.1:{trainer.server.server_port}",
        "TRAINER_TOKEN": "secret",
        "TRAINING_NAME": "tonight-1",
    }
    assert {one["name"] for one in container["env"]} == plain.keys() | given.keys()
    return subprocess.run(
        [sys.executable, *container["command"][1:]],
        env=plain | given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_scheduled_sample_asks_the_trainer_with_its_token() -> None:
    with Trainer(202, known=True) as trainer:
        done = run_scheduled(trainer)
    assert done.returncode == 0, done.stderr
    (asked,) = trainer.asked
    training = {"method": "FineTune", "promotion": {"mode": "Auto"}, "name": "tonight-1"}
    assert asked == ("POST", "/train", training, "Bearer secret")


def test_the_scheduled_sample_does_not_train_twice_after_a_lost_answer() -> None:
    with Trainer(409, known=True) as trainer:
        done = run_scheduled(trainer)
    assert done.returncode == 0, done.stderr
    assert [path for _, path, _, _ in trainer.asked] == ["/train", "/training-jobs/tonight-1"]


@pytest.mark.parametrize("status", [401, 409, 422, 503])
def test_the_scheduled_sample_fails_with_the_trainers_reason(status: int) -> None:
    with Trainer(status, known=False) as trainer:
        done = run_scheduled(trainer)
    assert done.returncode != 0
    assert str(status) in done.stderr
    assert "why not" in done.stderr


def test_what_the_scheduled_sample_sends_is_a_request_that_the_trainer_takes() -> None:
    from sentops_trainer.submissions import TrainRequest

    values = {one["name"]: one.get("value") for one in scheduled_container()["env"]}
    TrainRequest.model_validate(json.loads(values["TRAINING"]) | {"name": "tonight-1"})
