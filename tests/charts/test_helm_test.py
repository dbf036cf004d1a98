"""`helm test`: its script against the real web and the real model server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from sentops_model_server.app import build_app
from sentops_model_server.settings import ModelSettings
from tests.charts.objects import environment, pod
from tests.services.web.fakes import FakeTrainer, a_variant
from tests.support.artifacts import build_artifact
from tests.support.helm import CHART, Helm
from tests.support.postgres import a_free_port
from tests.support.programs import Program
from tests.support.serving import served

SCRIPT = CHART / "files" / "tests" / "predict.py"


def run_script(url: str, *, patience: str = "20") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT)],
        env={
            "PATH": os.environ["PATH"],
            "WEB_URL": url,
            "NAMESPACE": "platform",
            "PATIENCE_SECONDS": patience,
            "http_proxy": "http://127.0.0.1:9",
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def trainer() -> FakeTrainer:
    return FakeTrainer()


@pytest.fixture
def web(trainer: FakeTrainer, tmp_path: Path) -> Iterator[Program]:
    """The program itself, to be started; its database is away, which it bears."""
    with served(trainer.app()) as trainer_url:
        program = Program(
            "web",
            {
                "SENTOPS_WEB_DATABASE_URL": f"postgresql://u:p@127.0.0.1:{a_free_port()}/none",
                "SENTOPS_WEB_TRAINER_URL": trainer_url,
                "SENTOPS_WEB_SIGNING_KEY": "k" * 64,
                "SENTOPS_WEB_SPOOL_DIR": str(tmp_path / "spool"),
            },
            tmp_path / "web.log",
        )
        yield program
        program.kill()


@pytest.fixture
def champion(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """(URL, digest) of a model server with a version in it."""
    artifact = build_artifact(tmp_path / "artifact")
    settings = ModelSettings.model_validate(
        {"control_token": "control", "cache_dir": tmp_path / "cache", "workers": 1}
    )
    with served(build_app(settings)) as url:
        wanted = {
            "storage_uri": artifact.uri,
            "digest": artifact.digest,
            "model_version": "sentiment-v3",
        }
        answer = httpx.put(
            f"{url}/slots/champion", json=wanted, headers={"authorization": "Bearer control"}
        )
        assert answer.status_code == 200, answer.text
        yield url, artifact.digest


def test_without_a_model_it_fails_and_says_what_to_do(web: Program) -> None:
    done = run_script(web.start().url)
    assert done.returncode == 1
    assert "no model is live yet" in done.stderr
    assert "kubectl -n platform get trainingjobs,modelversions" in done.stderr


def test_with_a_model_it_predicts_and_votes(
    trainer: FakeTrainer, champion: tuple[str, str], web: Program
) -> None:
    url, digest = champion
    trainer.route(a_variant(url, version="sentiment-v3", digest=digest))
    done = run_script(web.start().url)
    assert done.returncode == 0, done.stderr
    assert "sentiment-v3 says" in done.stdout
    assert "the vote on it was taken" in done.stdout


def test_a_web_that_is_away_is_named() -> None:
    url = f"http://127.0.0.1:{a_free_port()}"
    done = run_script(url, patience="0")
    assert done.returncode == 1
    assert f"web is not ready at {url}" in done.stderr


def test_the_pod_runs_that_script_against_web(helm: Helm) -> None:
    rendered = helm.template()
    made = pod(rendered, "test")
    container = made.container("predict")
    (volume,) = [one for one in made.spec["volumes"] if "configMap" in one]
    folder = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}[volume["name"]]
    scripts = rendered.one("ConfigMap", volume["configMap"]["name"])["data"]
    assert container["command"] == ["python", f"{folder}/predict.py"]
    assert scripts == {"predict.py": SCRIPT.read_text()}
    assert environment(container)["WEB_URL"] == "http://sentops-web.platform.svc:8000"
    assert made.owner["metadata"]["annotations"]["helm.sh/hook"] == "test"
