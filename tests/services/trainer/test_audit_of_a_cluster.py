"""What the audit log of a cluster says of what its operator did, and of wishes that passed our API by."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sentops_core.domain.resources import ModelVersionPhase
from sentops_core.kube.kinds import MODEL_VERSION, TRAINING_JOB
from sentops_core.store.audit import AuditRow
from sentops_core.store.pool import Pool
from sentops_trainer.news import phase_action
from tests.services.trainer.machines import NAMESPACE, InCluster, a_cluster
from tests.support.eventually import eventually

pytestmark = pytest.mark.pg


@pytest.fixture
async def cluster(
    pool: Pool, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[InCluster]:
    async with a_cluster(pool, database_url, tmp_path, monkeypatch) as opened:
        for number in (1, 2):
            await opened.register(number)
            await opened.reaches(f"sentiment-v{number}", "Live")
            # Each state is seen: what happens between two looks leaves no line.
            await line(opened, f"sentiment-v{number}", "model_version.live")
        yield opened


async def line(cluster: InCluster, subject: str, action: str) -> AuditRow:
    async def look() -> AuditRow:
        found = [one for one in await cluster.audit(subject) if one.action == action]
        assert len(found) == 1, found
        return found[0]

    return await eventually(look)


def test_phases_are_written_as_the_deeds_they_are() -> None:
    assert phase_action(ModelVersionPhase.ROLLED_BACK) == "model_version.rolled_back"
    assert phase_action(ModelVersionPhase.LIVE) == "model_version.live"


async def test_a_return_that_the_operator_made_says_where_to_and_why(cluster: InCluster) -> None:
    await cluster.archive_past_the_api("sentiment-v2")
    returned = await line(cluster, "sentiment-v2", "model_version.rolled_back")
    assert returned.actor == "operator"
    assert returned.evidence == {
        "to": "sentiment-v1",
        "why": "Taken out of service; sentiment-v1 is asked to serve again.",
        "reason": "RolledBack",
    }


async def test_a_rollback_asked_for_here_has_one_line(cluster: InCluster) -> None:
    await cluster.act("sentiment-v2", "rollback", reason="worse")
    await cluster.routes(sentiment_v1=100)
    returned = await line(cluster, "sentiment-v2", "model_version.rolled_back")
    assert (returned.actor, returned.evidence["to"]) == ("ada", "sentiment-v1")
    assert [one.action for one in await cluster.audit("sentiment-v2")][-1] == returned.action


async def test_wishes_made_with_kubectl_are_written_down_as_its(cluster: InCluster) -> None:
    await cluster.client.post("/train", json=cluster.manifest())
    await cluster.job_reaches("by-hand", "Suspended")
    await line(cluster, "by-hand", "training_job.created")
    cancel = {"metadata": {"annotations": {"sentops.dev/cancel": "bob"}}}
    for patch, action in [
        ({"spec": {"suspend": False}}, "training_job.resumed"),
        ({"spec": {"suspend": True}}, "training_job.suspended"),
        (cancel, "training_job.cancelled"),
    ]:
        cluster.kube.patch(TRAINING_JOB, "by-hand", patch, namespace=NAMESPACE)
        assert (await line(cluster, "by-hand", action)).actor == "kubectl-patch"
    approval = {"approved": True, "by": "bob", "reason": "seen"}
    for spec, action in [
        ({"desiredState": "Candidate"}, "model_version.candidacy_requested"),
        ({"approval": approval}, "model_version.approved"),
        ({"desiredState": "Champion"}, "model_version.promotion_requested"),
        ({"approval": {"approved": False}}, "model_version.approval_withdrawn"),
        ({"desiredState": "Archived"}, "model_version.archive_requested"),
    ]:
        cluster.kube.patch(MODEL_VERSION, "sentiment-v1", {"spec": spec}, namespace=NAMESPACE)
        assert (await line(cluster, "sentiment-v1", action)).actor == "kubectl-patch"
    approved = await line(cluster, "sentiment-v1", "model_version.approved")
    assert approved.evidence["by"] == "bob"


async def test_who_wrote_what_nobody_owns_is_the_cluster(cluster: InCluster) -> None:
    patch = {"spec": {"desiredState": "Archived"}}
    cluster.kube.objects.merge_patch(MODEL_VERSION, NAMESPACE, "sentiment-v1", patch)
    asked = await line(cluster, "sentiment-v1", "model_version.archive_requested")
    assert asked.actor == "cluster"


async def test_wishes_that_came_through_our_api_have_their_one_line(cluster: InCluster) -> None:
    async def mirrored() -> None:
        calls = len(cluster.kube.calls)
        await eventually(lambda: len(cluster.kube.calls) > calls + 6)

    headers = {"x-sentops-actor": "ada"}
    await cluster.client.post("/train", json=cluster.manifest(), headers=headers)
    await line(cluster, "by-hand", "training_job.created")
    for deed in ("resume", "suspend", "cancel"):
        await cluster.client.post(f"/training-jobs/by-hand/{deed}", headers=headers)
        await mirrored()
    await line(cluster, "by-hand", "training_job.finished")
    await cluster.act("sentiment-v1", "promote", reason="back")
    await cluster.routes(sentiment_v1=100)
    await cluster.act("sentiment-v2", "archive")
    await mirrored()
    wishes = {
        "by-hand": ["created", "resumed", "suspended", "cancelled"],
        "sentiment-v1": ["promotion_requested"],
        "sentiment-v2": ["archive_requested"],
    }
    for name, expected in wishes.items():
        lines = [one for one in await cluster.audit(name) if one.actor != "operator"]
        told = [one for one in lines if not one.action.endswith(".registered")]
        assert [one.action.partition(".")[2] for one in told] == expected
        assert {one.actor for one in told} == {"ada"}
