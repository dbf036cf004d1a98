"""Versions that take each other's place, and those that must not."""

import json

import pytest

from sentops_core.kube.kinds import (
    DEPLOYMENT,
    EVENT,
    HORIZONTAL_POD_AUTOSCALER,
    MODEL_VERSION,
    POD,
    POD_DISRUPTION_BUDGET,
    SERVICE,
)
from tests.operator.actors import (
    NAMESPACE,
    Cluster,
    a_version_manifest,
    condition,
    crashing,
    digest_of_job,
)
from tests.operator.conftest import Clock, RunningOperator
from tests.support.builders import a_digest
from tests.support.eventually import eventually

FIRST, SECOND = digest_of_job("first"), digest_of_job("second")
DEADLINE = {"rollout": {"progressDeadlineSeconds": 30}}


async def second_is_trained(cluster: Cluster, **promotion: object) -> None:
    """Its version is registered; nothing of it is served yet."""
    async with cluster.going_well(serving=False):
        cluster.apply("second", promotion=promotion)
        await cluster.job_is_in("Succeeded", "second")


async def second_is_switched_to(cluster: Cluster, **promotion: object) -> None:
    """The candidate was found good; the champion's Deployment is being rolled."""
    await second_is_trained(cluster, **promotion)
    await eventually(cluster.candidate)
    cluster.roll_out("sentiment-candidate")
    await eventually(lambda: cluster.digest() == SECOND)


async def test_a_version_is_tried_beside_the_champion_and_then_takes_its_place(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live()
        await second_is_trained(cluster)
        candidate = await eventually(cluster.candidate)
        assert cluster.digest("sentiment-candidate") == SECOND
        assert candidate["spec"]["replicas"] == 1
        assert cluster.digest() == FIRST
        assert cluster.find(SERVICE, "sentiment-candidate")

        cluster.roll_out("sentiment-candidate")
        await eventually(lambda: cluster.digest() == SECOND)
        rolling = cluster.get(DEPLOYMENT, "sentiment-model")["spec"]["strategy"]["rollingUpdate"]
        assert rolling == {"maxUnavailable": 0, "maxSurge": 1}
        cluster.stall(phase="Running")
        await eventually(lambda: "1 of 2" in condition(cluster.get(MODEL_VERSION, "sentiment-v2"), "Promoted").get("message", ""))  # fmt: skip
        assert cluster.champion() == "sentiment-v1"
        assert cluster.version_phase(1) == "Live"
        assert cluster.version_status(1)["servedDigest"] == FIRST

        cluster.roll_out()
        live = await cluster.version_is("Live", 2)
        assert cluster.champion() == "sentiment-v2"
        assert live["status"]["trafficPercent"] == 100
        assert live["status"]["previousVersion"] == "sentiment-v1"
        archived = await cluster.version_is("Archived", 1)
        assert archived["status"]["trafficPercent"] == 0
        assert "servedDigest" not in archived["status"]
        await eventually(lambda: cluster.candidate() is None)
        assert cluster.find(SERVICE, "sentiment-candidate") is None
        assert cluster.find(SERVICE, "sentiment-model")


async def test_an_artefact_the_model_server_refuses_is_quarantined_with_its_sentence(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live()
        await second_is_trained(cluster)
        await eventually(cluster.candidate)
        cluster.stall("sentiment-candidate", **crashing(3, "The digest does not match."))
        version = await cluster.version_is("Quarantined", 2)
        verified = condition(version, "ArtifactVerified")
        assert (verified["status"], verified["reason"]) == ("False", "ArtifactInvalid")
        assert verified["message"] == "The digest does not match."
        await eventually(lambda: cluster.candidate() is None)
        assert cluster.digest() == FIRST
        assert cluster.champion() == "sentiment-v1"
        assert cluster.version_phase(1) == "Live"
        assert version["spec"]["desiredState"] == "Champion"  # what people wrote is never edited
    warned = [one for one in cluster.kube.all(EVENT) if one["type"] == "Warning"]
    assert {one["reason"] for one in warned} == {"ArtifactInvalid"}


async def test_a_quarantined_version_stays_so_until_a_person_clears_it(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live()
        await second_is_trained(cluster)
        await eventually(cluster.candidate)
        cluster.stall("sentiment-candidate", **crashing(3, "no"))
        await cluster.version_is("Quarantined", 2)
        cluster.change_version(2, approval={"approved": True, "by": "ada"})
        await eventually(lambda: cluster.version_status(2)["observedGeneration"] == 2)
        assert cluster.version_phase(2) == "Quarantined"
        for pod in cluster.kube.all(POD):
            cluster.kube.delete(POD, pod["metadata"]["name"], namespace=NAMESPACE)
        async with cluster.going_well():
            cluster.change_version(
                2, approval={"approved": True, "by": "ada", "clearQuarantine": True}
            )
            await cluster.version_is("Live", 2)


async def test_a_roll_out_that_hangs_is_taken_back(
    cluster: Cluster, operator: RunningOperator, clock: Clock
) -> None:
    async with operator():
        await cluster.live()
        await second_is_switched_to(cluster, **DEADLINE)
        cluster.stall(phase="Pending")
        await eventually(lambda: cluster.version_status(2).get("switchStartedAt"))
        clock.forward(seconds=31)
        cluster.nudge(2)
        version = await cluster.version_is("Quarantined", 2)
        ready = condition(version, "Ready")
        assert ready["reason"] == "ProgressDeadlineExceeded"
        assert "Not serving everyone within 30 s" in ready["message"]
        await eventually(lambda: cluster.digest() == FIRST)
        assert cluster.champion() == "sentiment-v1"
        await eventually(lambda: cluster.candidate() is None)
        cluster.roll_out()
        assert cluster.version_phase(1) == "Live"


async def test_why_a_roll_out_was_given_up_is_not_lost_when_writing_it_down_fails(
    cluster: Cluster, operator: RunningOperator, clock: Clock, impatient: None
) -> None:
    async with operator():
        await cluster.live()
        await second_is_switched_to(cluster, **DEADLINE)
        cluster.stall(phase="Pending")
        await eventually(lambda: cluster.version_status(2).get("switchStartedAt"))
        cluster.kube.fail(3, 409, verb="patch", resource="modelversions/status")
        clock.forward(seconds=31)
        cluster.nudge(2)
        version = await cluster.version_is("Quarantined", 2)
        assert "Not serving everyone within 30 s" in condition(version, "Ready")["message"]
        await eventually(lambda: cluster.digest() == FIRST)


async def test_a_first_version_deleted_while_it_was_tried_leaves_nothing_behind(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await second_is_trained(cluster)
        await eventually(cluster.candidate)
        cluster.kube.delete(MODEL_VERSION, "sentiment-v1", namespace=NAMESPACE)
        await eventually(lambda: cluster.candidate() is None)


async def test_a_roll_out_that_hangs_needs_nobody_to_remind_of_it(
    cluster: Cluster, operator: RunningOperator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentops_operator.converger._LOOK_AGAIN_SECONDS", 0.2)
    async with operator():
        await cluster.live()
        await second_is_trained(cluster, rollout={"progressDeadlineSeconds": 1})
        version = await cluster.version_is("Quarantined", 2)  # its candidate never starts
        assert condition(version, "Ready")["reason"] == "ProgressDeadlineExceeded"


async def test_a_refusal_while_everyone_is_moved_is_taken_back_too(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live()
        await second_is_switched_to(cluster)
        cluster.stall(**crashing(3, "The file is cut off."))
        version = await cluster.version_is("Quarantined", 2)
        assert condition(version, "Ready")["message"] == "The file is cut off."
        await eventually(lambda: cluster.digest() == FIRST)
        assert cluster.version_phase(1) == "Live"


async def test_a_champion_that_crashes_later_gives_way_to_the_one_before_it(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live()
        await cluster.live(2, "second")
        await cluster.version_is("Archived", 1)
        cluster.deployment_is(replicas=2, updated=2, available=0)
        pods = [cluster.server_pod(**crashing(139, "segmentation fault")) for _ in range(2)]
        version = await cluster.version_is("Quarantined", 2)
        assert "segmentation fault" in condition(version, "Ready")["message"]
        assert version["spec"]["desiredState"] == "Champion"
        await eventually(cluster.candidate)
        assert cluster.digest("sentiment-candidate") == FIRST
        cluster.roll_out("sentiment-candidate")
        await eventually(lambda: cluster.digest() == FIRST)
        # Its pods come up one by one, and none of the old ones serves: it is not torn back.
        cluster.deployment_is(replicas=3, updated=1, available=0)
        cluster.nudge(1)
        await eventually(lambda: cluster.version_status(1).get("switchStartedAt"))
        generation = cluster.get(DEPLOYMENT, "sentiment-model")["metadata"]["generation"]
        cluster.nudge(2)
        await _turns(cluster, 3)
        assert cluster.digest() == FIRST
        assert cluster.get(DEPLOYMENT, "sentiment-model")["metadata"]["generation"] == generation
        for pod in pods:
            cluster.remove_pod(pod)
        cluster.roll_out()
        await cluster.version_is("Live", 1)
        assert cluster.champion() == "sentiment-v1"
        await cluster.version_is("Quarantined", 2)


async def _turns(cluster: Cluster, count: int) -> None:
    """So many looks at the model, one after another."""
    for _ in range(count):
        calls = len(cluster.kube.calls)
        cluster.nudge(1)
        await eventually(lambda calls=calls: len(cluster.kube.calls) > calls)


async def test_a_fix_replaces_a_champion_that_does_not_answer_any_more(
    cluster: Cluster, operator: RunningOperator
) -> None:
    """With no version before it, the broken one is all there is to go back to."""
    async with operator():
        await cluster.live()
        cluster.deployment_is(replicas=2, updated=2, available=0)
        pod = cluster.server_pod(**crashing(1))
        await cluster.version_is("Quarantined", 1)
        await second_is_switched_to(cluster)
        cluster.deployment_is(replicas=3, updated=1, available=0)
        await _turns(cluster, 3)
        assert cluster.digest() == SECOND
        cluster.remove_pod(pod)
        cluster.roll_out()
        await cluster.version_is("Live", 2)


async def test_a_crashing_champion_does_not_hold_up_the_version_on_its_way(
    cluster: Cluster, operator: RunningOperator, impatient: None
) -> None:
    async with operator():
        await cluster.live()
        await cluster.live(2, "second")
        async with cluster.going_well(serving=False):
            cluster.apply("third")
            await cluster.job_is_in("Succeeded", "third")
        await cluster.version_is("Verifying", 3)
        cluster.deployment_is(replicas=2, updated=2, available=0)
        pod = cluster.server_pod(**crashing(1, "boom"))
        await eventually(cluster.candidate)
        cluster.roll_out("sentiment-candidate")
        await eventually(lambda: cluster.digest() == digest_of_job("third"))
        cluster.remove_pod(pod)
        cluster.roll_out()
        await cluster.version_is("Live", 3)
        assert cluster.version_phase(1) == "Archived"


async def test_archiving_the_live_version_is_a_way_back(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live()
        await cluster.live(2, "second")
        async with cluster.going_well():
            cluster.change_version(2, desiredState="Archived")
            await cluster.version_is("Live", 1)
            version = await cluster.version_is("RolledBack", 2)
        assert version["status"]["completionStatus"] == "RolledBack"
        assert cluster.digest() == FIRST


async def test_archiving_the_only_version_leaves_it_in_service(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live()
        cluster.change_version(1, desiredState="Archived")
        await eventually(lambda: "no version served before it" in condition(cluster.get(MODEL_VERSION, "sentiment-v1"), "Ready")["message"])  # fmt: skip
        assert cluster.version_phase(1) == "Live"
        assert cluster.digest() == FIRST


async def test_deleting_the_live_version_brings_back_the_one_before_it(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live()
        await cluster.live(2, "second")
        async with cluster.going_well():
            cluster.kube.delete(MODEL_VERSION, "sentiment-v2", namespace=NAMESPACE)
            await cluster.version_is("Live", 1)
        assert cluster.digest() == FIRST


async def test_deleting_the_only_version_leaves_what_serves(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live()
        cluster.kube.delete(MODEL_VERSION, "sentiment-v1", namespace=NAMESPACE)
        await cluster.live(2, "second")  # whatever is done about it comes before
        assert cluster.version_phase(2) == "Live"
        assert cluster.digest() == SECOND


async def test_a_live_version_that_cannot_be_read_is_not_taken_for_deleted(
    cluster: Cluster, operator: RunningOperator
) -> None:
    """As after going back to an older operator."""
    async with operator():
        await cluster.live()
        await cluster.live(2, "second")
        status = {"phase": "Glorious"}
        cluster.kube.set_status(MODEL_VERSION, "sentiment-v2", status, namespace=NAMESPACE)
        await _touched(cluster)
        assert cluster.version_phase(1) == "Archived"
        assert cluster.version_phase(2) == "Glorious"
        assert cluster.champion() == "sentiment-v2"


async def _touched(cluster: Cluster) -> None:
    """The model was looked at since."""
    cluster.change_version(1, desiredState="Candidate")
    generation = cluster.get(MODEL_VERSION, "sentiment-v1")["metadata"]["generation"]
    await eventually(lambda: cluster.version_status(1)["observedGeneration"] == generation)


async def test_a_deployment_that_somebody_deleted_is_made_again(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live()
        await cluster.live(2, "second")
        cluster.kube.delete(DEPLOYMENT, "sentiment-model", namespace=NAMESPACE)
        await eventually(cluster.deployment)
        assert cluster.digest() == SECOND
        notes = cluster.get(DEPLOYMENT, "sentiment-model")["metadata"]["annotations"]
        assert notes["sentops.dev/champion"] == "sentiment-v2"
        assert notes["sentops.dev/previous-champion"] == "sentiment-v1"
        cluster.roll_out()
        await eventually(lambda: cluster.version_status(2).get("servedDigest") == SECOND)
        assert cluster.version_phase(2) == "Live"


async def test_a_service_that_somebody_deleted_is_made_again_with_the_next_resync(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator(resync_seconds=0.3):
        await cluster.live()
        cluster.kube.delete(SERVICE, "sentiment-model", namespace=NAMESPACE)
        await eventually(lambda: cluster.find(SERVICE, "sentiment-model"))


async def test_a_version_deleted_while_it_was_tried_leaves_nothing_behind(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live()
        await second_is_switched_to(cluster)
        cluster.stall(phase="Pending")
        cluster.kube.delete(MODEL_VERSION, "sentiment-v2", namespace=NAMESPACE)
        await eventually(lambda: cluster.digest() == FIRST)
        await eventually(lambda: cluster.candidate() is None)
        assert cluster.champion() == "sentiment-v1"
        assert cluster.version_phase(1) == "Live"


async def test_with_manual_promotion_a_candidate_waits_for_a_persons_word(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live()
        await second_is_trained(cluster, mode="Manual")
        version = await cluster.version_is("Pending", 2)
        await eventually(lambda: condition(cluster.get(MODEL_VERSION, "sentiment-v2"), "Promoted"))
        assert version["spec"]["desiredState"] == "Candidate"
        assert cluster.candidate() is None
        async with cluster.going_well():
            cluster.change_version(2, approval={"approved": True, "by": "ada", "reason": "fine"})
            await cluster.version_is("Live", 2)
        assert cluster.get(MODEL_VERSION, "sentiment-v2")["spec"]["desiredState"] == "Candidate"


STEPS = [{"setWeight": 5}, {"analysis": True}, {"setWeight": 50}, {"pauseSeconds": 60}]


async def canary(cluster: Cluster, **rollout: object) -> None:
    """The second version gets 5 % of the traffic, and waits for the word of the analysis."""
    await second_is_trained(cluster, rollout={"steps": STEPS, **rollout})
    await eventually(cluster.candidate)
    cluster.roll_out("sentiment-candidate")
    await cluster.version_is("Canary", 2)
    await eventually(lambda: cluster.version_status(2)["trafficPercent"] == 5)


def judged(cluster: Cluster, verdict: str, *, step: int = 1, reason: str = "Because.") -> None:
    found = {
        "stepIndex": step,
        "stepStartedAt": cluster.version_status(2)["stepStartedAt"],
        "verdict": verdict,
        "reason": reason,
        "metrics": [],
    }
    cluster.annotate(MODEL_VERSION, "sentiment-v2", analysis=json.dumps(found))


async def test_a_canary_goes_on_when_the_analysis_passes_and_is_live_at_the_end(
    cluster: Cluster, operator: RunningOperator, clock: Clock
) -> None:
    async with operator():
        await cluster.live()
        await canary(cluster)
        assert cluster.digest() == FIRST
        judged(cluster, "Pass")
        await eventually(lambda: cluster.version_status(2)["trafficPercent"] == 50)
        assert cluster.version_status(2)["currentStepIndex"] == 3
        clock.forward(seconds=61)
        cluster.nudge(2)
        await eventually(lambda: cluster.digest() == SECOND)
        cluster.roll_out()
        version = await cluster.version_is("Live", 2)
        assert condition(version, "CanaryHealthy")["status"] == "True"


async def test_a_canary_that_is_worse_is_taken_back(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live()
        await canary(cluster)
        judged(cluster, "Fail", reason="Feedback agrees less.")
        version = await cluster.version_is("Quarantined", 2)
        healthy = condition(version, "CanaryHealthy")
        assert (healthy["reason"], healthy["message"]) == ("CanaryWorse", "Feedback agrees less.")
        assert version["status"]["trafficPercent"] == 0
        await eventually(lambda: cluster.candidate() is None)
        assert cluster.digest() == FIRST


async def test_a_canary_without_enough_evidence_is_held(
    cluster: Cluster, operator: RunningOperator, clock: Clock
) -> None:
    async with operator():
        await cluster.live()
        await canary(cluster, progressDeadlineSeconds=100)
        judged(cluster, "Inconclusive", reason="Only 3 votes.")
        await eventually(lambda: "Only 3 votes." in condition(cluster.get(MODEL_VERSION, "sentiment-v2"), "CanaryHealthy")["message"])  # fmt: skip
        assert cluster.version_phase(2) == "Canary"
        clock.forward(seconds=101)
        cluster.nudge(2)
        await cluster.version_is("Paused", 2)
        assert cluster.version_status(2)["trafficPercent"] == 5


@pytest.mark.parametrize(
    "annotation",
    [
        json.dumps({"stepIndex": 0, "verdict": "Fail", "reason": "of an earlier step"}),
        json.dumps(
            {
                "stepIndex": 1,
                "stepStartedAt": "2020-01-01T00:00:00Z",
                "verdict": "Fail",
                "reason": "of an earlier try",
            }
        ),
        json.dumps({"verdict": "Fail", "reason": "of no step"}),
        "{",
        "[]",
        '"Fail"',
        json.dumps({"stepIndex": 1, "verdict": "Bad", "reason": "no such verdict"}),
    ],
)
async def test_evidence_that_is_stale_or_unreadable_decides_nothing(
    cluster: Cluster, operator: RunningOperator, annotation: str
) -> None:
    async with operator():
        await cluster.live()
        await canary(cluster)
        cluster.annotate(MODEL_VERSION, "sentiment-v2", analysis=annotation)
        cluster.change_version(1, desiredState="Candidate")
        await _touched(cluster)
        assert cluster.version_phase(2) == "Canary"
        assert cluster.version_status(2)["currentStepIndex"] == 1


async def test_a_person_may_pass_over_what_remains_of_a_canary(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live()
        await canary(cluster)
        cluster.change_version(2, approval={"approved": True, "by": "ada", "skipSteps": True})
        await eventually(lambda: cluster.digest() == SECOND)
        cluster.roll_out()
        await cluster.version_is("Live", 2)


async def test_a_canary_that_nobody_wants_any_more_is_withdrawn(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live()
        await canary(cluster)
        cluster.change_version(2, desiredState="Candidate")
        await cluster.version_is("Pending", 2)
        await eventually(lambda: cluster.candidate() is None)
        assert cluster.digest() == FIRST


async def test_autoscaler_and_budget_come_and_go_with_the_settings(
    cluster: Cluster, operator: RunningOperator
) -> None:
    name = "sentiment-model"
    async with operator():
        await cluster.live()
        assert cluster.find(POD_DISRUPTION_BUDGET, name)
        assert cluster.find(HORIZONTAL_POD_AUTOSCALER, name) is None
        assert cluster.get(DEPLOYMENT, name)["spec"]["replicas"] == 2
    cpu = {"requests": {"cpu": "1"}}
    async with operator(model_replicas=1, model_max_replicas=4, model_resources=cpu):
        await eventually(lambda: cluster.find(HORIZONTAL_POD_AUTOSCALER, name))
        await eventually(lambda: cluster.find(POD_DISRUPTION_BUDGET, name) is None)
        assert "replicas" not in cluster.get(DEPLOYMENT, name)["spec"]
        assert cluster.version_phase() == "Live"
    async with operator(model_replicas=3, model_max_replicas=3):
        await eventually(lambda: cluster.find(HORIZONTAL_POD_AUTOSCALER, name) is None)
        await eventually(lambda: cluster.find(POD_DISRUPTION_BUDGET, name))
        await eventually(lambda: cluster.get(DEPLOYMENT, name)["spec"].get("replicas") == 3)


async def test_a_change_of_settings_rolls_the_champion_while_it_is_said_to_serve(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live()
    async with operator(model_image="sentops-model:2"):
        await eventually(lambda: _image(cluster) == "sentops-model:2")
        cluster.stall(phase="Pending")
        await _touched(cluster)
        assert condition(cluster.get(MODEL_VERSION, "sentiment-v1"), "Ready")["status"] == "True"
        assert cluster.version_status(1)["servedDigest"] == FIRST


def _image(cluster: Cluster) -> str:
    spec = cluster.get(DEPLOYMENT, "sentiment-model")["spec"]["template"]["spec"]
    return str(spec["containers"][0]["image"])


async def test_versions_are_rolled_out_one_at_a_time(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live()
        for number, letter in ((2, "a"), (3, "b")):
            manifest = a_version_manifest(number, digest=a_digest(letter), desiredState="Champion")
            cluster.kube.put(MODEL_VERSION, manifest)
        await cluster.version_is("Verifying", 2)
        waiting = await cluster.version_is("Pending", 3)
        await eventually(lambda: condition(cluster.get(MODEL_VERSION, "sentiment-v3"), "Loaded").get("reason") == "WaitingForCapacity")  # fmt: skip
        assert waiting["spec"]["version"] == 3
        async with cluster.going_well():
            await cluster.version_is("Live", 3)
            await cluster.version_is("Archived", 2)


async def test_models_do_not_wait_for_each_other(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        for model in ("one", "two"):
            manifest = a_version_manifest(
                1, digest=a_digest(), model=model, desiredState="Champion"
            )
            cluster.kube.put(MODEL_VERSION, manifest)
        for model in ("one", "two"):
            await eventually(lambda model=model: cluster.deployment(f"{model}-candidate"))


async def test_a_version_number_is_never_given_twice(
    cluster: Cluster, operator: RunningOperator
) -> None:
    async with operator():
        await cluster.live()
        cluster.kube.delete(MODEL_VERSION, "sentiment-v1", namespace=NAMESPACE)
        async with cluster.going_well(serving=False):
            cluster.apply("second")
            job = await cluster.job_is_in("Succeeded", "second")
        assert job["status"]["modelVersionRef"]["name"] == "sentiment-v2"
