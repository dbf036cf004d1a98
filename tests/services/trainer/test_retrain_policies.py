"""Retraining policies over HTTP: rows on one machine, custom resources in a cluster."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from sentops_core.kube.kinds import RETRAIN_POLICY
from sentops_core.store.pool import Pool, transaction
from sentops_core.store.retrain_policies import RetrainPolicies
from tests.services.trainer.machines import NAMESPACE, InCluster, OneMachine, a_cluster, started
from tests.support.eventually import eventually
from tests.support.kube_api import Fault

pytestmark = pytest.mark.pg

SAMPLES = Path(__file__).parents[3] / "k8s" / "samples"

SPEC: dict[str, Any] = {"modelName": "sentiment", "triggers": {"newLabels": {"min": 200}}}


@pytest.fixture
async def machine(pool: Pool, database_url: str, tmp_path: Path) -> AsyncIterator[OneMachine]:
    machine = OneMachine(pool, folder=tmp_path, database_url=database_url)
    async with started(machine):
        yield machine


async def put(machine: OneMachine, name: str = "weekly", **document: Any) -> httpx.Response:
    headers = {"x-sentops-actor": "ada"}
    document = {"spec": SPEC} | document
    return await machine.client.put(f"/retrain-policies/{name}", json=document, headers=headers)


async def test_a_policy_is_made_read_changed_and_deleted_with_audit_lines(
    machine: OneMachine,
) -> None:
    assert (await machine.client.get("/retrain-policies")).json() == []
    made = await put(machine)
    assert made.status_code == 200, made.text
    assert made.json()["metadata"]["generation"] == 1
    assert made.json()["spec"]["guards"] == {
        "cooldownSeconds": 21600,
        "maxPerDay": 2,
        "minNewLabels": 20,
    }
    same = await put(machine)
    assert same.json()["metadata"]["generation"] == 1
    changed = await put(machine, spec=SPEC | {"dryRun": True})
    assert changed.json()["metadata"]["generation"] == 2
    assert changed.json()["metadata"]["uid"] == made.json()["metadata"]["uid"]
    read = (await machine.client.get("/retrain-policies/weekly")).json()
    assert read["spec"]["dryRun"] is True
    assert [one["metadata"]["name"] for one in (await machine.client.get("/retrain-policies")).json()] == ["weekly"]  # fmt: skip
    assert (await machine.client.delete("/retrain-policies/weekly")).status_code == 204
    assert (await machine.client.get("/retrain-policies/weekly")).status_code == 404
    assert (await machine.client.delete("/retrain-policies/weekly")).status_code == 404
    lines = [line for line in await machine.audit("weekly") if line.action != "retrain_policy.decided"]  # fmt: skip
    assert [(line.actor, line.action) for line in lines] == [
        ("ada", "retrain_policy.created"),
        ("ada", "retrain_policy.changed"),
        ("api", "retrain_policy.deleted"),
    ]
    assert lines[1].evidence["before"]["dryRun"] is False
    assert lines[1].evidence["spec"]["dryRun"] is True


async def test_what_was_changed_meanwhile_is_not_overwritten(machine: OneMachine) -> None:
    await put(machine)
    await put(machine, spec=SPEC | {"dryRun": True})
    late = await put(machine, spec=SPEC | {"suspend": True}, metadata={"generation": 1})
    assert late.status_code == 409
    assert late.json()["detail"] == (
        "The retraining policy weekly was changed by somebody else meanwhile; look at it again."
    )
    answer = (await machine.client.get("/retrain-policies/weekly")).json()
    back = {key: answer[key] for key in ("apiVersion", "kind", "metadata", "spec")}
    assert (await put(machine, **back)).status_code == 200, "what was answered may come back"


@pytest.mark.parametrize(
    ("document", "status", "sentence"),
    [
        ({"spec": SPEC | {"modelName": "other"}}, 422, "serves the model 'sentiment'"),
        ({"spec": SPEC | {"triggers": {}}}, 422, "at least one of newLabels"),
        ({"spec": SPEC | {"template": {"podTemplate": {"labels": {"a": "b"}}}}}, 422, "On one machine this cannot be honoured: podTemplate"),
        ({"spec": SPEC | {"triggers": {"schedule": {"cron": "every day"}}}}, 422, "five fields"),
        ({"spec": SPEC | {"triggers": {"schedule": {"cron": "0 25 * * *"}}}}, 422, "is no cron expression"),
        ({"spec": SPEC | {"triggers": {"schedule": {"cron": "0 3 * * *", "timeZone": "Mars/Olympus"}}}}, 422, "is no time zone"),
        ({"spec": SPEC | {"triggers": {"quality": {"floor": "75"}}}}, 422, "is a share"),
        ({"spec": SPEC | {"guards": {"maxPerDay": 0}}}, 422, "greater than or equal to 1"),
        ({"metadata": {"name": "other"}}, 422, "The address names the policy weekly"),
        ({"status": {}}, 422, "status"),
    ],
)  # fmt: skip
async def test_what_cannot_be_honoured_is_refused_with_a_sentence(
    machine: OneMachine, document: dict[str, Any], status: int, sentence: str
) -> None:
    answer = await put(machine, **document)
    assert answer.status_code == status, answer.text
    assert sentence in answer.text
    assert (await machine.client.get("/retrain-policies")).json() == []


async def test_each_example_of_the_documentation_is_accepted(machine: OneMachine) -> None:
    document = (await machine.client.get("/openapi.json")).json()
    body = document["paths"]["/retrain-policies/{name}"]["put"]["requestBody"]
    examples = body["content"]["application/json"]["examples"]
    assert len(examples) == 3
    for name, example in examples.items():
        answer = await put(machine, name, **example["value"])
        assert answer.status_code == 200, answer.text


async def test_the_sample_for_kubernetes_is_taken_on_one_machine_too(machine: OneMachine) -> None:
    sample = yaml.safe_load((SAMPLES / "retraining.yaml").read_text())
    answer = await put(machine, sample["metadata"]["name"], **sample)
    assert answer.status_code == 200, answer.text
    assert answer.json()["spec"]["triggers"].keys() == {"newLabels", "quality", "drift", "schedule"}


async def test_a_name_that_no_resource_could_have_is_refused(machine: OneMachine) -> None:
    assert (await put(machine, "Not_a_name")).status_code == 422


async def test_policies_are_not_for_everybody(machine: OneMachine) -> None:
    machine.client.headers.pop("authorization")
    assert (await machine.client.get("/retrain-policies")).status_code == 401
    assert (await put(machine)).status_code == 401


# In a cluster


@pytest.fixture
async def cluster(
    pool: Pool, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[InCluster]:
    async with a_cluster(pool, database_url, tmp_path, monkeypatch) as cluster:
        yield cluster


async def mirrored(cluster: InCluster) -> dict[str, Any]:
    """What is decided is no matter here."""
    async with transaction(cluster.pool) as connection:
        rows = await RetrainPolicies(connection).all()
    return {row.policy.metadata.name: row.policy.spec.dry_run for row in rows}


async def becomes(cluster: InCluster, **wanted: bool) -> None:
    async def look() -> bool:
        assert await mirrored(cluster) == wanted
        return True

    await eventually(look)


async def test_the_table_follows_the_resources_and_the_audit_log_tells_who(
    cluster: InCluster,
) -> None:
    manifest = {"metadata": {"name": "weekly"}, "spec": SPEC | {"dryRun": False}}
    cluster.kube.put(RETRAIN_POLICY, manifest, namespace=NAMESPACE)
    await becomes(cluster, weekly=False)
    change = {"spec": {"dryRun": True}}
    cluster.kube.patch(RETRAIN_POLICY, "weekly", change, namespace=NAMESPACE)
    await becomes(cluster, weekly=True)
    [listed] = (await cluster.client.get("/retrain-policies")).json()
    assert listed["spec"]["dryRun"] is True
    assert (await cluster.client.get("/retrain-policies/weekly")).json()["spec"] == listed["spec"]
    cluster.kube.delete(RETRAIN_POLICY, "weekly", namespace=NAMESPACE)
    await becomes(cluster)
    assert (await cluster.client.get("/retrain-policies/weekly")).status_code == 404
    lines = [line for line in await cluster.audit("weekly") if not line.actor.startswith("policy:")]
    assert [(line.actor, line.action) for line in lines] == [
        ("cluster", "retrain_policy.created"),
        ("kubectl-patch", "retrain_policy.changed"),
        ("cluster", "retrain_policy.deleted"),
    ]
    assert lines[1].evidence["before"]["dryRun"] is False


async def test_the_api_of_a_cluster_says_where_policies_are_written(cluster: InCluster) -> None:
    refused = await cluster.client.put("/retrain-policies/weekly", json={"spec": SPEC})
    assert refused.status_code == 409
    assert "kubectl apply" in refused.json()["detail"]
    refused = await cluster.client.delete("/retrain-policies/weekly")
    assert refused.status_code == 409
    assert "kubectl delete retrainpolicy weekly -n team" in refused.json()["detail"]


async def test_the_control_plane_looks_at_a_resource_and_writes_its_status(
    cluster: InCluster,
) -> None:
    manifest = {"metadata": {"name": "weekly"}, "spec": SPEC}
    cluster.kube.put(RETRAIN_POLICY, manifest, namespace=NAMESPACE)

    async def look() -> dict[str, Any]:
        document = cluster.kube.get(RETRAIN_POLICY, "weekly", namespace=NAMESPACE)
        assert "lastDecision" in document.get("status", {})
        decision: dict[str, Any] = document["status"]["lastDecision"]
        return decision

    decision = await eventually(look)
    assert decision["outcome"] == "Wait"
    assert decision["reason"] == "0 new labels since the beginning, of 200 wanted."


async def test_a_cluster_that_does_not_know_policies_is_mirrored_all_the_same(
    cluster: InCluster,
) -> None:
    manifest = {"metadata": {"name": "weekly"}, "spec": SPEC | {"dryRun": False}}
    cluster.kube.put(RETRAIN_POLICY, manifest, namespace=NAMESPACE)
    await becomes(cluster, weekly=False)
    unknown = Fault(times=10_000, status=404, verb="list", resource="retrainpolicies")
    cluster.kube.faults.append(unknown)
    await cluster.register(1)
    await cluster.reaches("sentiment-v1", "Live")
    await cluster.routes(sentiment_v1=100)
    assert await mirrored(cluster) == {"weekly": False}, "not known is not deleted"
