"""What may be asked of the control plane, and how it refuses the rest."""

import pytest

from tests.services.trainer.conftest import Trainer
from tests.support.builders import a_digest
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
        ({"gate": {"mustPass": [{"text": "wow", "label": "joy"}]}}, "joy"),
        ({"podTemplate": {"nodeSelector": {"gpu": "yes"}}}, "podTemplate"),
        ({"trainer": {"numNodes": 2}}, "numNodes"),
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
