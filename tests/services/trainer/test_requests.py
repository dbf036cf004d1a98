"""What may be asked of the control plane, and how it refuses the rest."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from sentops_core.domain.resources import Variant
from sentops_core.store.pool import Pool
from sentops_core.store.routing import RoutingTable
from sentops_trainer.settings import LocalSettings
from tests.services.trainer.conftest import Trainer, a_service
from tests.support.builders import a_digest
from tests.support.cable import a_cable
from tests.support.eventually import eventually

pytestmark = pytest.mark.pg


def a_manifest(**spec: object) -> dict[str, object]:
    return {
        "kind": "TrainingJob",
        "metadata": {"name": "by-hand"},
        "spec": {
            "modelName": "sentiment",
            "baseModel": {"storageUri": "named://english-small"},
            "dataset": {"storageUri": "file:///nowhere", "contentHash": a_digest()},
            "output": {"storageUri": "file:///nowhere"},
            "suspend": True,
            **spec,
        },
    }


async def test_a_whole_document_is_accepted_as_kubectl_would_apply_it(trainer: Trainer) -> None:
    answer = await trainer.client.post("/train", json=a_manifest())
    assert answer.status_code == 202, answer.text
    job = (await trainer.client.get(answer.json()["status_url"])).json()
    assert job["metadata"]["uid"]
    assert job["spec"]["gate"]["minSamples"] == 50
    assert (await trainer.client.post("/train", json=a_manifest())).status_code == 409


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ({"trainer": {"hyperparameters": {"learningRate": "0"}}}, "learningRate"),
        ({"trainer": {"hyperparameters": {"learningRate": "9"}}}, "learningRate"),
        ({"trainer": {"hyperparameters": {"epochs": 0}}}, "epochs"),
        ({"baseModel": {"storageUri": "ftp://somewhere/x"}}, "storageUri"),
        ({"dataset": {"storageUri": "file:///x", "contentHash": "abc"}}, "contentHash"),
        ({"colour": "red"}, "colour"),
        ({"gate": {"metrics": [{"name": "macro_f1", "min": "70"}]}}, "shares from 0 to 1"),
        ({"gate": {"perClassMin": {"recall": "-1"}}}, "share from 0 to 1"),
        ({"gate": {"mustPass": [{"text": "wow", "label": "joy"}]}}, "joy"),
        ({"podTemplate": {"nodeSelector": {"gpu": "yes"}}}, "podTemplate"),
        ({"trainer": {"numNodes": 2}}, "numNodes"),
        ({"trainer": {"method": "Linear", "hyperparameters": {"epochs": 3}}}, "epochs"),
        ({"modelName": "another"}, "modelName"),
        ({"fastPath": False}, "fastPath"),
        ({"output": {"storageUri": "hf://org/name"}}, "hf://org/name"),
        ({"output": {"storageUri": "pvc://models/x"}}, "pvc://models/x"),
        ({"dataset": {"storageUri": "named://x", "contentHash": a_digest()}}, "named://x"),
    ],
)
async def test_a_bad_spec_is_refused_with_the_field_named(
    trainer: Trainer, spec: dict[str, object], word: str
) -> None:
    answer = await trainer.client.post("/train", json=a_manifest(**spec))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert word in answer.text


async def test_the_short_form_needs_a_dataset_that_exists(trainer: Trainer) -> None:
    assert (await trainer.client.post("/train", json={})).status_code == 409
    assert (await trainer.client.post("/train", json={"dataset_id": "v9"})).status_code == 404
    unknown = await trainer.client.post("/train", json={"dataset_id": "v1", "speed": 9})
    assert unknown.status_code == 422


@pytest.mark.parametrize(
    ("request_body", "word"),
    [
        ({"base": "ftp://somewhere/x"}, "base"),
        ({"base": "two words"}, "base"),
        ({"fast_path": "Sometimes"}, "fast_path"),
        ({"gate": {"mustPass": [{"text": "wow", "label": "joy"}]}}, "joy"),
    ],
)
async def test_the_short_form_names_what_is_wrong(
    trainer: Trainer, request_body: dict[str, object], word: str
) -> None:
    await trainer.dataset()
    answer = await trainer.client.post("/train", json=request_body)
    assert answer.status_code == 422, answer.text
    assert word in answer.json()["detail"]


async def test_a_database_that_is_away_is_said_to_be_away(
    settings: LocalSettings, pool: Pool, tmp_path: Path
) -> None:
    database = urlsplit(settings.database_url.get_secret_value())
    async with a_cable(database.hostname or "", database.port or 5432) as (port, cut):
        through = database._replace(netloc=re.sub(r":\d+$", f":{port}", database.netloc))
        url = SecretStr(through.geturl())
        cabled = settings.model_copy(update={"database_url": url})
        async with a_service(cabled, pool, tmp_path) as trainer:
            assert (await trainer.client.get("/training-jobs")).status_code == 200
            await cut()
            answer = await trainer.client.get("/training-jobs")
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert (await trainer.client.get("/routing")).status_code == 503


async def test_nothing_but_routing_is_open(trainer: Trainer) -> None:
    stranger = {"authorization": "Bearer wrong"}
    for method, path in [
        ("POST", "/train"),
        ("GET", "/training-jobs"),
        ("POST", "/training-jobs/x/cancel"),
        ("GET", "/model-versions"),
        ("POST", "/model-versions/x/promote"),
        ("POST", "/training-jobs/x/progress"),
    ]:
        answer = await trainer.client.request(method, path, headers=stranger, json={})
        assert answer.status_code == 401, (path, answer.text)
    routing = await trainer.client.get("/routing", headers=stranger)
    assert routing.json() == {"revision": 0, "variants": []}
    again = await trainer.client.get("/routing", headers={"if-none-match": routing.headers["etag"]})
    assert again.status_code == 304


async def test_the_same_revision_with_other_content_is_sent_again(trainer: Trainer) -> None:
    """A database put back from a backup counts its revisions anew."""
    digests = {"v1": a_digest("1"), "v2": a_digest("2")}
    etags = set()
    for name, digest in digests.items():
        variant = Variant(
            name="champion", url="http://model", model_version=name, digest=digest, weight=100
        )
        async with trainer.pool.acquire() as connection, connection.transaction():
            await connection.execute("DELETE FROM routing")
            await RoutingTable(connection).save(
                "sentiment", [variant], champion=None, previous_champion=None
            )
        answer = await trainer.client.get(
            "/routing", headers={"if-none-match": min(etags, default="")}
        )
        assert (answer.status_code, answer.json()["revision"]) == (200, 1)
        assert answer.json()["variants"][0]["modelVersion"] == name
        etags.add(answer.headers["etag"])


async def test_no_get_changes_anything(trainer: Trainer) -> None:
    await trainer.client.post("/train", json=a_manifest())
    for path in ("/train", "/training-jobs/by-hand/cancel", "/model-versions/x/promote"):
        assert (await trainer.client.get(path)).status_code in {404, 405}


async def test_unknown_names_are_404(trainer: Trainer) -> None:
    for path in (
        "/training-jobs/x",
        "/training-jobs/x/events",
        "/training-jobs/x/log",
        "/model-versions/x",
    ):
        assert (await trainer.client.get(path)).status_code == 404
    assert (await trainer.client.post("/model-versions/x/promote")).status_code == 404


async def test_old_backoffice_addresses_lead_to_the_backoffice(trainer: Trainer) -> None:
    answer = await trainer.client.post("/backoffice/api/train?x=1", json={})
    assert answer.status_code == 307
    assert answer.headers["location"] == "http://127.0.0.1:8001/backoffice/api/train?x=1"


async def test_a_cancelled_job_stays_cancelled(trainer: Trainer) -> None:
    await trainer.client.post("/train", json=a_manifest())
    await trainer.client.post("/training-jobs/by-hand/cancel")

    async def failed() -> bool:
        job = (await trainer.client.get("/training-jobs/by-hand")).json()
        return bool(job["status"]["phase"] == "Failed")

    await eventually(failed)
    assert (await trainer.client.post("/training-jobs/by-hand/resume")).status_code == 409
    events = (await trainer.client.get("/training-jobs/by-hand/events")).json()
    assert [event["reason"] for event in events][-1] == "Cancelled"
