"""What is special to a cluster: custom resources are the truth, tables follow them, pods' logs, votes as evidence."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from sentops_core.domain.reasons import Reason
from sentops_core.kube.kinds import MODEL_VERSION, POD, RETRAIN_POLICY, TRAINING_JOB
from sentops_core.store.feedback import Feedback
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.pool import Pool
from sentops_core.store.predictions import Predictions
from sentops_core.store.training_jobs import TrainingJobRow, TrainingJobs
from tests.services.trainer.machines import NAMESPACE, InCluster, a_cluster, the_api
from tests.support.builders import a_digest
from tests.support.eventually import eventually
from tests.support.rows import a_prediction, a_vote

pytestmark = pytest.mark.pg

MOMENT = "2026-11-21T12:00:00Z"


@pytest.fixture
async def cluster(
    pool: Pool, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[InCluster]:
    async with a_cluster(pool, database_url, tmp_path, monkeypatch) as opened:
        yield opened


@pytest.fixture
async def unattended(cluster: InCluster) -> InCluster:
    """Without an operator: the test writes the statuses itself."""
    await cluster.operator.stop()
    return cluster


async def job_row(cluster: InCluster, name: str, phase: str) -> TrainingJobRow:
    async def look() -> TrainingJobRow:
        async with cluster.pool.acquire() as connection:
            row = await TrainingJobs(connection).find(name)
        assert row is not None
        assert row.job.status.phase == phase, row.job.status
        return row

    return await eventually(look)


async def version_phase(cluster: InCluster, name: str) -> str | None:
    async with cluster.pool.acquire() as connection:
        row = await ModelVersions(connection).find(name)
    return row.version.status.phase.value if row else None


def put_version(cluster: InCluster, number: int, **status: Any) -> None:
    digest = a_digest("0123456789"[number])
    spec = {
        "modelName": "sentiment",
        "version": number,
        "artifact": {"storageUri": "s3://b/x", "digest": digest, "sizeBytes": 1},
        "datasetHash": a_digest("d"),
        "rollout": status.pop("rollout", {}),
    }
    manifest = {"metadata": {"name": f"sentiment-v{number}"}, "spec": spec, "status": status}
    cluster.kube.put(MODEL_VERSION, manifest, namespace=NAMESPACE)


def put_live(cluster: InCluster, number: int, since: str = MOMENT) -> None:
    digest = a_digest("0123456789"[number])
    put_version(
        cluster, number, phase="Live", trafficPercent=100, servedDigest=digest, phaseStartedAt=since
    )


def set_version(cluster: InCluster, number: int, **status: Any) -> None:
    name = f"sentiment-v{number}"
    cluster.kube.set_status(MODEL_VERSION, name, status, namespace=NAMESPACE)


def condition(kind: str, reason: str, status: str = "True", message: str = "m") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": MOMENT,
        "observedGeneration": 1,
    }


def set_job(cluster: InCluster, name: str, **status: Any) -> None:
    cluster.kube.set_status(TRAINING_JOB, name, status, namespace=NAMESPACE)


# What is asked of a cluster


async def test_a_job_becomes_a_custom_resource_that_says_who_asked(cluster: InCluster) -> None:
    manifest = cluster.manifest(
        trainer={
            "numNodes": 2,
            "image": "mine:1",
            "resources": {"limits": {"nvidia.com/gpu": "1"}},
        },
        podTemplate={"nodeSelector": {"gpu": "yes"}, "priorityClassName": "low"},
        baseModel={"storageUri": "hf://org/private@main", "secretRef": {"name": "hub"}},
        output={"storageUri": "pvc://models/reviews"},
    )
    manifest["metadata"] = {"name": "gpu", "labels": {"kueue.x-k8s.io/queue-name": "team"}}
    headers = {"x-sentops-actor": "ada"}
    answer = await cluster.client.post("/train", json=manifest, headers=headers)
    assert answer.status_code == 202, answer.text
    made = cluster.custom_job("gpu")
    assert made["metadata"]["annotations"]["sentops.dev/requested-by"] == "ada"
    assert made["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "team"}
    assert made["spec"]["trainer"]["numNodes"] == 2
    assert made["spec"]["podTemplate"]["nodeSelector"] == {"gpu": "yes"}
    assert made["spec"]["baseModel"]["secretRef"] == {"name": "hub"}
    assert (await job_row(cluster, "gpu", "Suspended")).created_by == "ada"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"dataset": {"storageUri": "file:///data/v1", "contentHash": a_digest()}}, "dataset"),
        ({"output": {"storageUri": "file:///store"}}, "output"),
        ({"baseModel": {"storageUri": "file:///models/mine"}}, "baseModel"),
    ],
)
async def test_places_that_no_pod_can_see_are_refused(
    unattended: InCluster, change: dict[str, object], word: str
) -> None:
    answer = await unattended.client.post("/train", json=unattended.manifest(**change))
    assert answer.status_code == 422
    assert f"{word}.storageUri is on file://, which pods cannot reach" in answer.json()["detail"]
    assert unattended.kube.all(TRAINING_JOB) == []


async def test_another_namespace_is_refused(unattended: InCluster) -> None:
    manifest = unattended.manifest()
    manifest["metadata"] = {"name": "away", "namespace": "other"}
    answer = await unattended.client.post("/train", json=manifest)
    assert answer.status_code == 422
    assert "namespace team" in answer.json()["detail"]


async def test_wishes_are_written_into_the_spec_where_the_operator_reads_them(
    unattended: InCluster,
) -> None:
    put_live(unattended, 1)
    put_version(unattended, 2, phase="Canary", trafficPercent=10, phaseStartedAt=MOMENT)
    await unattended.act("sentiment-v2", "promote", reason="good enough")
    spec = unattended.custom_version("sentiment-v2")["spec"]
    assert spec["desiredState"] == "Champion"
    assert spec["approval"] == {
        "approved": True,
        "by": "ada",
        "reason": "good enough",
        "skipSteps": True,
        "clearQuarantine": False,
    }
    set_version(unattended, 2, phase="Quarantined")
    await unattended.act("sentiment-v2", "promote", reason="copied again", clear_quarantine=True)
    approval = unattended.custom_version("sentiment-v2")["spec"]["approval"]
    assert (approval["skipSteps"], approval["clearQuarantine"]) == (False, True)
    await unattended.act("sentiment-v2", "archive")
    assert unattended.custom_version("sentiment-v2")["spec"]["desiredState"] == "Archived"


async def test_cancelling_is_an_annotation_with_the_name_of_who_asked_first(
    unattended: InCluster,
) -> None:
    await unattended.client.post("/train", json=unattended.manifest())
    for who in ("ada", "bob"):
        headers = {"x-sentops-actor": who}
        await unattended.client.post("/training-jobs/by-hand/cancel", headers=headers)
    annotations = unattended.custom_job("by-hand")["metadata"]["annotations"]
    assert annotations["sentops.dev/cancel"] == "ada"

    async def mirrored() -> bool:
        return (await job_row(unattended, "by-hand", "Pending")).cancel_requested

    await eventually(mirrored)


async def test_what_is_to_be_archived_is_not_approved_in_vain(unattended: InCluster) -> None:
    put_version(unattended, 1, phase="Pending")
    assert (await unattended.act("sentiment-v1", "archive")).status_code == 202
    answer = await unattended.act("sentiment-v1", "approve")
    assert (answer.status_code, "promote it" in answer.json()["detail"]) == (409, True)


async def test_what_the_api_server_refuses_leaves_no_audit_line(unattended: InCluster) -> None:
    put_live(unattended, 1)
    put_version(unattended, 2)
    unattended.kube.fail(1, 503, verb="patch", resource="modelversions")
    answer = await unattended.act("sentiment-v2", "approve")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    unattended.kube.fail(1, 403, verb="create", resource="trainingjobs")
    answer = await unattended.client.post("/train", json=unattended.manifest())
    assert answer.status_code == 503
    assert "check its Role" in answer.json()["detail"]
    assert await unattended.deeds("sentiment-v2", "ada") == []
    assert await unattended.audit("by-hand") == []


async def test_a_job_whose_answer_was_lost_has_its_audit_line(unattended: InCluster) -> None:
    unattended.kube.fail(1, None, verb="create", resource="trainingjobs", done_first=True)
    headers = {"x-sentops-actor": "ada"}
    for expected in (503, 409):
        answer = await unattended.client.post("/train", json=unattended.manifest(), headers=headers)
        assert answer.status_code == expected
    await job_row(unattended, "by-hand", "Pending")
    assert await unattended.deeds("by-hand", "ada") == ["training_job.created"]


async def test_progress_is_reported_to_the_operator_not_here(unattended: InCluster) -> None:
    answer = await unattended.client.post("/training-jobs/x/progress", json={"trainerStatus": {}})
    assert answer.status_code == 404
    assert "/training-jobs/team/x/progress" in answer.json()["detail"]


async def test_the_log_is_the_newest_attempts_leading_pods(unattended: InCluster) -> None:
    await unattended.client.post("/train", json=unattended.manifest())
    for attempt, node in [("1", "0"), ("10", "1"), ("10", "0"), ("9", "0")]:
        name = f"by-hand-{attempt}-{node}"
        labels = {
            "sentops.dev/training-job": "by-hand",
            "sentops.dev/attempt": attempt,
            "batch.kubernetes.io/job-completion-index": node,
        }
        unattended.kube.put(
            POD, {"metadata": {"name": name, "labels": labels}}, namespace=NAMESPACE
        )
        unattended.kube.logs[NAMESPACE, name] = f"log of {name}\n"
    log = await unattended.client.get("/training-jobs/by-hand/log")
    assert log.text == "log of by-hand-10-0\n"
    unattended.kube.fail(1, 400, resource="pods/log")
    waiting = await unattended.client.get("/training-jobs/by-hand/log")
    assert (waiting.status_code, waiting.text.startswith("[")) == (200, True)


# What the tables show of it


async def test_a_job_made_with_kubectl_is_mirrored_with_its_news_once(
    unattended: InCluster,
) -> None:
    manifest = {
        "metadata": {"name": "applied", "managedFields": [{"manager": "kubectl"}]},
        "spec": unattended.manifest()["spec"],
    }
    unattended.kube.put(TRAINING_JOB, manifest, namespace=NAMESPACE)
    set_job(
        unattended,
        "applied",
        phase="Running",
        trainerStatus={"progressPercentage": 40, "lastUpdatedTime": MOMENT},
        conditions=[condition("Scheduled", Reason.RUN_STARTED)],
    )
    assert (await job_row(unattended, "applied", "Running")).created_by == "kubectl"
    set_job(
        unattended,
        "applied",
        phase="Failed",
        conditions=[
            condition("Scheduled", Reason.RUN_STARTED),
            condition("Failed", Reason.OUT_OF_MEMORY),
        ],
    )
    await job_row(unattended, "applied", "Failed")
    seen = await unattended.event_reasons("applied")
    assert seen == ["Created", "RunStarted", "Progress", "OutOfMemory"]
    events = (await unattended.client.get("/training-jobs/applied/events")).json()
    assert events[1]["at"] == MOMENT, "when it happened, not when it was seen"
    lines = [(line.actor, line.action) for line in await unattended.audit("applied")]
    assert lines == [("kubectl", "training_job.created"), ("operator", "training_job.finished")]


async def test_a_second_replica_and_a_restart_tell_nothing_twice(cluster: InCluster) -> None:
    await cluster.register(1)
    await cluster.reaches("sentiment-v1", "Live")
    await cluster.routes(sentiment_v1=100)
    await cluster.client.post("/train", json=cluster.manifest())
    await job_row(cluster, "by-hand", "Suspended")
    before = (
        await cluster.audit("sentiment-v1"),
        await cluster.event_reasons("by-hand"),
        (await cluster.client.get("/routing")).json(),
    )
    async with the_api(cluster.settings()) as other:

        async def is_ready() -> bool:
            return (await other.get("/health/ready")).status_code == 200

        await eventually(is_ready)
        rounds = len(cluster.kube.calls)
        await eventually(lambda: len(cluster.kube.calls) > rounds + 10)
    after = (
        await cluster.audit("sentiment-v1"),
        await cluster.event_reasons("by-hand"),
        (await cluster.client.get("/routing")).json(),
    )
    assert after == before


async def test_changes_of_phase_are_audited_as_the_operators(unattended: InCluster) -> None:
    put_version(unattended, 1, phase="Verifying")

    async def mirrored(phase: str) -> bool:
        return await version_phase(unattended, "sentiment-v1") == phase

    await eventually(lambda: mirrored("Verifying"))
    ready = condition("Ready", Reason.ARTIFACT_INVALID, "False", "the digest does not match")
    set_version(unattended, 1, phase="Quarantined", conditions=[ready])
    await eventually(lambda: mirrored("Quarantined"))
    lines = [line for line in await unattended.audit("sentiment-v1") if line.actor == "operator"]
    assert [line.action for line in lines] == [
        "model_version.verifying",
        "model_version.quarantined",
    ]
    assert lines[-1].evidence == {
        "from": "Verifying",
        "to": "Quarantined",
        "why": ["Ready: the digest does not match"],
    }


async def test_who_is_routed_to_follows_the_statuses(unattended: InCluster) -> None:
    put_live(unattended, 1)
    await unattended.routes(sentiment_v1=100)
    put_version(unattended, 2, phase="Shadow", phaseStartedAt=MOMENT)
    await unattended.routes(sentiment_v1=100, sentiment_v2=0)
    routing = (await unattended.client.get("/routing")).json()
    champion, shadow = routing["variants"]
    assert champion["url"] == "http://sentiment-model.team.svc:8501"
    assert shadow["url"] == "http://sentiment-candidate.team.svc:8501"
    assert shadow["shadow"]
    set_version(unattended, 2, phase="Canary", trafficPercent=25)
    await unattended.routes(sentiment_v1=75, sentiment_v2=25)
    later = "2026-11-21T13:00:00Z"
    digest = a_digest("2")
    set_version(
        unattended,
        2,
        phase="Live",
        trafficPercent=100,
        servedDigest=digest,
        phaseStartedAt=later,
    )
    await unattended.routes(sentiment_v2=100)  # while v1 does not know yet
    set_version(unattended, 1, phase="Archived", trafficPercent=0, servedDigest=None)
    last = (await unattended.client.get("/routing")).json()
    assert last["revision"] > routing["revision"]


async def test_a_champion_that_is_rolled_back_serves_until_the_other_one_does(
    unattended: InCluster,
) -> None:
    put_live(unattended, 1)
    await unattended.routes(sentiment_v1=100)
    set_version(unattended, 1, phase="RolledBack")
    put_version(unattended, 2, phase="Verifying")
    await eventually(lambda: mirrored_as(unattended, "sentiment-v1", "RolledBack"))
    await unattended.routes(sentiment_v1=100)
    # Found damaged, so nobody knows who serves: whoever was routed to is, for want of a better one.
    set_version(unattended, 1, phase="Quarantined", trafficPercent=0, servedDigest=None)
    await eventually(lambda: mirrored_as(unattended, "sentiment-v1", "Quarantined"))
    await unattended.routes(sentiment_v1=100)


async def mirrored_as(cluster: InCluster, name: str, phase: str) -> bool:
    return await version_phase(cluster, name) == phase


async def test_the_history_of_what_was_deleted_stays(unattended: InCluster) -> None:
    await unattended.client.post("/train", json=unattended.manifest())
    await job_row(unattended, "by-hand", "Pending")
    put_live(unattended, 1)
    put_version(unattended, 2, phase="Canary", trafficPercent=5, phaseStartedAt=MOMENT)
    await unattended.routes(sentiment_v1=95, sentiment_v2=5)
    unattended.kube.delete(TRAINING_JOB, "by-hand", namespace=NAMESPACE)
    for number in (1, 2):
        unattended.kube.delete(MODEL_VERSION, f"sentiment-v{number}", namespace=NAMESPACE)
    row = await job_row(unattended, "by-hand", "Failed")
    assert row.job.metadata.deletion_timestamp is not None
    assert "deleted from the cluster" in row.job.status.conditions[-1].message
    assert (await unattended.client.get("/training-jobs/by-hand")).status_code == 404
    assert (await unattended.client.get("/model-versions")).json() == []
    await eventually(lambda: mirrored_as(unattended, "sentiment-v2", "Archived"))
    await unattended.routes(sentiment_v1=100)  # what serves goes on
    assert await version_phase(unattended, "sentiment-v1") == "Live"
    assert "training_job.deleted" in await unattended.deeds("by-hand", "cluster")
    # The same name again is another job.
    await unattended.client.post("/train", json=unattended.manifest())
    await job_row(unattended, "by-hand", "Pending")


async def test_a_resource_that_cannot_be_read_hides_no_other(unattended: InCluster) -> None:
    put_live(unattended, 1)
    bad = {"metadata": {"name": "odd"}, "spec": {"modelName": "sentiment", "version": "seven"}}
    unattended.kube.put(MODEL_VERSION, bad, namespace=NAMESPACE)
    unattended.kube.put(TRAINING_JOB, bad, namespace=NAMESPACE)
    await unattended.routes(sentiment_v1=100)
    names = [
        one["metadata"]["name"] for one in (await unattended.client.get("/model-versions")).json()
    ]
    assert names == ["sentiment-v1"]
    assert (await unattended.client.get("/training-jobs")).json() == []
    assert (await unattended.client.get("/model-versions/odd")).status_code == 422


async def test_a_resource_that_cannot_be_read_is_said_once(unattended: InCluster) -> None:
    bad = {"metadata": {"name": "odd"}, "spec": {"modelName": "sentiment", "version": "seven"}}
    with structlog.testing.capture_logs() as logs:
        unattended.kube.put(MODEL_VERSION, bad, namespace=NAMESPACE)
        await eventually(lambda: "not_mirrored" in [line["event"] for line in logs])
        rounds = len(unattended.kube.calls)
        await eventually(lambda: len(unattended.kube.calls) > rounds + 6)
    assert [line["event"] for line in logs].count("custom_resource_unreadable") == 1


# Evidence


async def votes(cluster: InCluster, version: str, right: int, wrong: int, since: datetime) -> None:
    rows = [
        a_prediction(since + timedelta(seconds=1, milliseconds=number), model_version=version)
        for number in range(right + wrong)
    ]
    labels = ["positive"] * right + ["negative"] * wrong
    cast = [
        a_vote(row, label, after=0.001, client=f"{version}-{number}")
        for number, (row, label) in enumerate(zip(rows, labels, strict=True))
    ]
    async with cluster.pool.acquire() as connection, connection.transaction():
        await Predictions(connection).copy_in(rows)
        await Feedback(connection).upsert_many(cast)


async def test_votes_on_a_canary_become_evidence_at_its_analysis_step_alone(
    unattended: InCluster,
) -> None:
    since = datetime.now(UTC)
    steps = [{"setWeight": 10}, {"pauseSeconds": 60}, {"analysis": True}]
    put_live(unattended, 1)
    put_version(
        unattended,
        2,
        rollout={"steps": steps, "minSamples": 20},
        phase="Canary",
        trafficPercent=10,
        currentStepIndex=1,
        stepStartedAt=since.isoformat(),
        phaseStartedAt=MOMENT,
    )
    await unattended.routes(sentiment_v1=90, sentiment_v2=10)

    def evidence() -> dict[str, Any] | None:
        annotations = unattended.custom_version("sentiment-v2")["metadata"].get("annotations", {})
        found = annotations.get("sentops.dev/analysis")
        return json.loads(found) if found else None

    assert evidence() is None
    set_version(unattended, 2, currentStepIndex=2)
    await eventually(evidence)
    assert evidence() == {
        "stepIndex": 2,
        "stepStartedAt": since.isoformat().replace("+00:00", "Z"),
        "verdict": "Inconclusive",
        "reason": "0 votes on the candidate and 0 on the champion; 20 each are wanted.",
        "metrics": [],
    }
    await votes(unattended, "sentiment-v1", right=38, wrong=2, since=since)
    await votes(unattended, "sentiment-v2", right=5, wrong=35, since=since)
    found = await eventually(lambda: (evidence() or {}).get("verdict") == "Fail" and evidence())
    assert found["metrics"][0] == {"name": "feedback_accuracy", "value": "0.1250"}
    written = unattended.kube.objects.version
    calls = len(unattended.kube.calls)
    await eventually(lambda: len(unattended.kube.calls) > calls + 10)
    assert unattended.kube.objects.version == written, "the same evidence is written once"
    # A later try must not be judged by what was said of this one.
    set_version(unattended, 2, phase="Quarantined", trafficPercent=0)
    await eventually(lambda: evidence() is None)


# Outages


async def test_an_api_server_that_is_away_costs_only_delay(unattended: InCluster) -> None:
    put_live(unattended, 1)
    await unattended.routes(sentiment_v1=100)
    await unattended.kube.stop()
    answer = await unattended.client.get("/model-versions")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    await unattended.routes(sentiment_v1=100)
    set_version(unattended, 1, phase="Quarantined")
    await unattended.kube.start()
    await eventually(lambda: mirrored_as(unattended, "sentiment-v1", "Quarantined"))


async def test_missing_definitions_are_named(unattended: InCluster) -> None:
    unattended.kube.fail(1000, 404, verb="list", resource="trainingjobs")
    answer = await unattended.client.get("/training-jobs")
    assert answer.status_code == 503
    assert "install the custom resource definitions" in answer.json()["detail"]


async def test_readiness_says_what_has_been_away_for_long(unattended: InCluster) -> None:
    async def is_ready() -> bool:
        return (await unattended.client.get("/health/ready")).status_code == 200

    await eventually(is_ready)
    await unattended.kube.stop()
    async with the_api(unattended.settings()) as fresh:

        async def says_why() -> bool:
            answer = await fresh.get("/health/ready")
            return answer.status_code == 503 and "the API server does not answer" in answer.text

        await eventually(says_why)


async def test_it_asks_the_cluster_for_nothing_but_what_its_role_allows(
    cluster: InCluster,
) -> None:
    await cluster.register(1)
    await cluster.register(2)
    await cluster.reaches("sentiment-v2", "Live")
    await cluster.act("sentiment-v2", "rollback")
    await cluster.client.post("/train", json=cluster.manifest())
    labels = {"sentops.dev/training-job": "by-hand", "sentops.dev/attempt": "1"}
    cluster.kube.put(POD, {"metadata": {"name": "p", "labels": labels}}, namespace=NAMESPACE)
    await cluster.client.get("/training-jobs/by-hand/log")
    await cluster.client.post("/training-jobs/by-hand/cancel")
    await cluster.client.get("/training-jobs")
    spec = {"modelName": "sentiment", "triggers": {"newLabels": {"min": 1}}}
    policy = {"metadata": {"name": "weekly"}, "spec": spec}
    cluster.kube.put(RETRAIN_POLICY, policy, namespace=NAMESPACE)
    await cluster.client.get("/retrain-policies/weekly")

    async def looked_at() -> bool:
        return "status" in cluster.kube.get(RETRAIN_POLICY, "weekly", namespace=NAMESPACE)

    await eventually(looked_at)
    assert cluster.kube.verbs() == {
        ("get", "trainingjobs"),
        ("list", "trainingjobs"),
        ("create", "trainingjobs"),
        ("patch", "trainingjobs"),
        ("get", "modelversions"),
        ("list", "modelversions"),
        ("patch", "modelversions"),
        ("get", "retrainpolicies"),
        ("list", "retrainpolicies"),
        ("patch", "retrainpolicies/status"),
        ("list", "pods"),
        ("get", "pods/log"),
    }
