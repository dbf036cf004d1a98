"""The trainer with an MLflow beside it: a real training shows up there; one that hangs is nobody's problem."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from sentops_core.domain.resources import ArtifactRef, DesiredState
from sentops_core.store.pool import Pool
from sentops_trainer.local.resources import Resources
from sentops_trainer.settings import ClusterSettings, LocalSettings
from sentops_trainer.tracking import startup
from sentops_trainer.tracking.files import Files
from sentops_trainer.tracking.rest import MlflowAway, Rest
from tests.services.trainer.conftest import Trainer, a_service
from tests.services.trainer.machines import InCluster, started
from tests.services.trainer.test_lifecycle import job_in, train, version_in
from tests.support.artifacts import build_artifact
from tests.support.builders import a_model_version
from tests.support.eventually import eventually
from tests.support.kube_api import KubeServer
from tests.support.mlflow_server import MlflowServer

pytestmark = [pytest.mark.pg, pytest.mark.mlflow, pytest.mark.timeout(300)]


def with_mlflow(settings: LocalSettings, server: MlflowServer) -> LocalSettings:
    update = {"mlflow_url": SecretStr(server.url), "mlflow_seconds": 0.2}
    return settings.model_copy(update=update)


async def figures(trainer: Trainer) -> dict[str, float]:
    text = (await trainer.client.get("/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith("sentops_mlflow")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


async def a_version(pool: Pool, folder: Path) -> None:
    built = build_artifact(folder / "built")
    artifact = ArtifactRef(storage_uri=built.uri, digest=built.digest, size_bytes=1)
    version = a_model_version(artifact=artifact, desired_state=DesiredState.CHAMPION)
    async with pool.acquire() as connection, connection.transaction():
        await Resources(connection).create_version(version, actor="test")


@pytest.mark.torch
async def test_a_real_training_shows_up_with_its_numbers_and_its_files(
    settings: LocalSettings, pool: Pool, tmp_path: Path, tiny_base: Path, mlflow: MlflowServer
) -> None:
    own = with_mlflow(settings, mlflow).model_copy(update={"model_name": "really-trained"})
    async with a_service(own, pool, tmp_path) as trainer:
        dataset = await trainer.dataset()
        name = await train(trainer, tiny_base, method="FineTune", hyperparameters={"epochs": 2})
        job = await job_in(trainer, name, "Succeeded")
        await version_in(trainer, "really-trained-v1", "Live")

        async def is_up_to_date() -> bool:
            found = await figures(trainer)
            behind = [value for key, value in found.items() if "behind" in key]
            return behind == [0, 0, 0] and mlflow_knows("champion")

        def mlflow_knows(alias: str) -> bool:
            model = mlflow.call("registered-models/get", name="really-trained")["registered_model"]
            return alias in {one["alias"] for one in model.get("aliases", [])}

        await eventually(is_up_to_date, within=60, every=0.2)
        now = (await figures(trainer))["sentops_mlflow_last_success_timestamp_seconds"]
        assert abs(now - time.time()) < 30
    (version,) = mlflow.call("model-versions/search", filter="name = 'really-trained'")[
        "model_versions"
    ]
    run = mlflow.call("runs/get", run_id=version["run_id"])["run"]
    told = {one["key"]: one["value"] for one in run["data"]["metrics"]}
    evaluation = job["status"]["evaluation"]
    assert told["macro_f1"] == evaluation["macroF1"]
    assert told["f1.neutral"] == evaluation["perClass"]["neutral"]["f1"]
    assert {one["key"]: one["value"] for one in run["data"]["params"]}["dataset"] == dataset
    size = len(mlflow.download(version["source"], "model.onnx"))
    assert size > 1000


async def test_an_mlflow_that_hangs_delays_nothing(
    settings: LocalSettings,
    pool: Pool,
    tmp_path: Path,
    mlflow: MlflowServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # No limit: whatever waited for MLflow would wait longer than this test may take.
    monkeypatch.setattr(
        startup, "open_http", lambda url: httpx.AsyncClient(base_url=url, timeout=None)
    )
    monkeypatch.setitem(Rest.send.__kwdefaults__, "limit", 3600)
    mlflow.pause()
    async with a_service(with_mlflow(settings, mlflow), pool, tmp_path) as trainer:

        async def is_ready() -> bool:
            return (await trainer.client.get("/health/ready")).status_code == 200

        await eventually(is_ready)
        await a_version(pool, tmp_path)
        await version_in(trainer, "sentiment-v1", "Live")
        routed = (await trainer.client.get("/routing")).json()
        assert routed["variants"][0]["modelVersion"] == "sentiment-v1"
        assert await figures(trainer) == {}, "nothing is known of it yet"


async def test_a_hanging_request_is_given_up(mlflow: MlflowServer) -> None:
    mlflow.pause()
    for client, limit in ((httpx.Timeout(0.2), 60.0), (httpx.Timeout(60), 0.2)):
        async with httpx.AsyncClient(base_url=mlflow.url, timeout=client) as http:
            with pytest.raises(MlflowAway, match="in time") as away:
                await Rest(http).send("GET", "/version", limit=limit)
            assert away.value.kind == "slow"


@dataclass
class Mirrored(InCluster):
    mlflow_url: str = ""

    def settings(self, **fields: Any) -> ClusterSettings:
        own = {"mlflow_url": SecretStr(self.mlflow_url), "mlflow_seconds": 0.1}
        return super().settings(**own, mlflow_artifacts=Files.NONE, **fields)


async def is_told(cluster: Mirrored, mlflow: MlflowServer) -> bool:
    listed = mlflow.call("registered-models/search", filter="name = 'of-a-cluster'")
    found = listed.get("registered_models", [{}])[0].get("aliases", [])
    text = (await cluster.client.get("/metrics")).text
    up_to_date = 'sentops_mlflow_behind{kind="aliases"} 0.0' in text
    return up_to_date and [one["alias"] for one in found] == ["champion"]


async def test_versions_of_a_cluster_are_mirrored_and_a_restart_says_nothing_twice(
    pool: Pool,
    database_url: str,
    tmp_path: Path,
    mlflow: MlflowServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with KubeServer() as kube:
        monkeypatch.setenv("KUBECONFIG", str(kube.write_kubeconfig(tmp_path / "kubeconfig")))
        seen: list[list[dict[str, Any]]] = []
        for number in (1, 2):
            cluster = Mirrored(pool, kube=kube, database_url=database_url, mlflow_url=mlflow.url)
            async with started(cluster):
                if number == 1:
                    await cluster.register(1, model_name="of-a-cluster")
                    await cluster.reaches("sentiment-v1", "Live")

                await eventually(partial(is_told, cluster, mlflow), within=20)
                found = mlflow.call("model-versions/search", filter="name = 'of-a-cluster'")
                seen.append(found["model_versions"])
    assert seen[0] == seen[1]
    assert len(seen[0]) == 1


async def test_without_an_address_there_is_no_mirror(trainer: Trainer) -> None:
    assert trainer.settings.mlflow_url is None
    assert await figures(trainer) == {}


def test_the_address_is_checked_and_kept_secret(
    settings: LocalSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = settings.model_dump(exclude={"mlflow_url"})
    with pytest.raises(ValidationError, match="http://host:port"):
        LocalSettings(**given, mlflow_url=SecretStr("mlflow:5000"))
    read = LocalSettings(**given, mlflow_url=SecretStr("http://ada:geheim@mlflow:5000"))
    assert "geheim" not in repr(read)
    assert read.mlflow_artifacts is Files.ALL


async def test_the_server_shows_its_pages(mlflow: MlflowServer) -> None:
    """What is left out of its environment is missed by none of them."""
    async with httpx.AsyncClient(base_url=mlflow.url, trust_env=False) as client:
        page = await client.get("/")
        assert page.status_code == 200
        assert "<title>MLflow</title>" in page.text
        assert (await client.get("/version")).text == "3.17.2"
        asked = {"experiment_ids": ["0"], "max_results": 10}
        for prefix in ("/api/2.0/mlflow", "/ajax-api/2.0/mlflow"):
            answer = await client.post(f"{prefix}/runs/search", json=asked)
            assert answer.status_code == 200, answer.text
        metrics = await client.get("/ajax-api/2.0/mlflow/experiments/search?max_results=5")
        assert metrics.status_code == 200, metrics.text
