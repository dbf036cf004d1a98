"""From an upload to a TrainingJob: datasets on a volume claim, the control plane on custom resources."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from sentops_core.kube.kinds import TRAINING_JOB
from sentops_trainer.app import create_trainer
from sentops_trainer.settings import ClusterSettings
from tests.services.backoffice.support import (
    FIRST_PASSWORD,
    PASSWORD,
    TRAINER_TOKEN,
    Browser,
    a_backoffice,
    labelled_csv,
)
from tests.support.eventually import eventually
from tests.support.kube_api import KubeServer
from tests.support.serving import served

pytestmark = pytest.mark.pg

STORE = "pvc://artifacts/store"


async def test_an_uploaded_file_becomes_a_job_that_pods_can_read(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted = tmp_path / "pvc" / "artifacts"
    mounted.mkdir(parents=True)
    monkeypatch.setenv("SENTOPS_PVC_ROOT", str(mounted.parent))
    async with KubeServer() as kube:
        config = kube.write_kubeconfig(tmp_path / "kubeconfig")
        monkeypatch.setenv("KUBECONFIG", str(config))
        settings = ClusterSettings(
            database_url=SecretStr(database_url),
            token=SecretStr(TRAINER_TOKEN),
            store_uri=STORE,
            namespace="team",
            mirror_seconds=0.05,
        )
        app = create_trainer(settings)
        with served(app) as trainer_url:
            opened = a_backoffice(database_url, tmp_path, trainer_url, store_uri=STORE)
            async with opened as backoffice, backoffice.api() as api:
                file = {"file": ("texts.csv", labelled_csv(120))}
                uploaded = await api.post("/backoffice/api/datasets", files=file)
                assert uploaded.status_code == 201, uploaded.text
                answer = await api.post("/backoffice/api/train", json={"name": "first"})
                assert answer.status_code < 300, answer.text
                made = kube.get(TRAINING_JOB, "first", namespace="team")
                uri = made["spec"]["dataset"]["storageUri"]
                folder = mounted / "store" / "datasets" / uri.rpartition("/")[2]
                assert uri.startswith(f"{STORE}/datasets/")
                assert (folder / "train.parquet").is_file()
                assert made["spec"]["output"] == {"storageUri": STORE}
                assert made["metadata"]["annotations"]["sentops.dev/requested-by"]

                async def written_down() -> list[dict[str, object]]:
                    answer = await api.get("/backoffice/api/audit", params={"subject": "first"})
                    lines: list[dict[str, object]] = answer.json()["lines"]
                    return lines

                [line] = await eventually(written_down)
                assert (line["actor"], line["action"]) == ("api", "training_job.created")


async def test_pages_follow_a_job_that_lives_in_the_cluster(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are a mirror here: what was asked for is there a little later, and what was deleted stays as history."""
    mounted = tmp_path / "pvc" / "artifacts"
    mounted.mkdir(parents=True)
    monkeypatch.setenv("SENTOPS_PVC_ROOT", str(mounted.parent))
    async with KubeServer() as kube:
        monkeypatch.setenv("KUBECONFIG", str(kube.write_kubeconfig(tmp_path / "kubeconfig")))
        settings = ClusterSettings(
            database_url=SecretStr(database_url),
            token=SecretStr(TRAINER_TOKEN),
            store_uri=STORE,
            namespace="team",
            mirror_seconds=0.05,
        )
        with served(create_trainer(settings)) as trainer_url:
            opened = a_backoffice(database_url, tmp_path, trainer_url, store_uri=STORE)
            async with opened as backoffice, backoffice.client() as client:
                admin = Browser(client)
                await admin.log_in("admin", FIRST_PASSWORD)
                await admin.choose_password(FIRST_PASSWORD, PASSWORD)
                async with backoffice.api() as api:
                    file = {"file": ("texts.csv", labelled_csv(120))}
                    await api.post("/backoffice/api/datasets", files=file)
                asked = await admin.send("/backoffice/train", name="first", epochs="2")
                assert asked.headers["location"].endswith("?done=training.started")
                address = "/backoffice/training/first"

                async def shows(text: str) -> bool:
                    page = await client.get(address)
                    return page.status_code == 200 and text in page.text

                assert await eventually(lambda: shows("Asked for by admin."))
                done = await admin.send(f"{address}/suspend")
                assert done.headers["location"] == f"{address}?done=training.suspend"
                assert kube.get(TRAINING_JOB, "first", namespace="team")["spec"]["suspend"] is True
                assert await eventually(lambda: shows(f'action="{address}/resume"'))
                await admin.send(f"{address}/cancel")
                made = kube.get(TRAINING_JOB, "first", namespace="team")
                assert made["metadata"]["annotations"]["sentops.dev/cancel"] == "admin"
                assert await eventually(lambda: shows("Its end was asked for."))
                kube.delete(TRAINING_JOB, "first", namespace="team")
                assert await eventually(lambda: shows("was deleted from the cluster"))
