"""From an upload to a TrainingJob: datasets on a volume claim, the control plane on custom resources."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from sentops_core.kube.kinds import TRAINING_JOB
from sentops_trainer.app import create_trainer
from sentops_trainer.settings import ClusterSettings
from tests.services.backoffice.support import TRAINER_TOKEN, a_backoffice, labelled_csv
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
