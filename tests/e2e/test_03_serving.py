"""Versions come and go while people ask."""

import json

from tests.e2e.support.documents import condition, phase
from tests.e2e.support.kubectl import Manifest
from tests.e2e.support.platform import VERSION, Platform, predict
from tests.e2e.support.release import ARTIFACTS_CLAIM, MODEL
from tests.e2e.support.waiting import holds, until

_DAMAGE = """
import sys
from pathlib import Path
model = Path(sys.argv[2]) / "model.onnx"
model.parent.chmod(0o755)
model.chmod(0o644)
content = model.read_bytes()
model.write_bytes(content + b"x" if sys.argv[1] == "damage" else content[:-1])
print(len(content))
"""


def folder_of(version: Manifest) -> str:
    """Where the version's artefact is mounted in a pod."""
    uri = version["spec"]["artifact"]["storageUri"]
    prefix = f"pvc://{ARTIFACTS_CLAIM}/"
    assert uri.startswith(prefix), uri
    return f"/pvc/{ARTIFACTS_CLAIM}/{uri.removeprefix(prefix)}"


def candidate_of(platform: Platform, name: str, *, seed: int) -> str:
    """A version that passed the gate and waits for a person."""
    platform.train(name, seed=seed, promotion={"mode": "Manual"})
    version = platform.version_of(name)
    found = until(
        lambda: condition(platform.version(version), "Promoted"),
        lambda one: one[1] == "AwaitingApproval",
        seconds=60,
    )
    assert found[0] == "Unknown"
    return version


def approve(platform: Platform, version: str, **more: object) -> None:
    approval = {"approved": True, "by": "e2e", "reason": "looks right", **more}
    platform.kubectl.patch(VERSION, version, {"spec": {"approval": approval}})


def test_a_better_version_rolls_in_and_out_again_without_one_failed_request(
    platform: Platform, first: str
) -> None:
    before = platform.champion()
    with platform.load("load-roll") as load:
        platform.train("second", seed=2)
        second = platform.version_of("second")
        version = platform.live(second)
        assert version["status"]["previousVersion"] == before
        assert phase(platform.version(before)) == "Archived"
        platform.answered_by(second)
        platform.kubectl.patch(VERSION, second, {"spec": {"desiredState": "Archived"}})
        platform.reaches(second, "RolledBack")
        platform.live(before)
        platform.answered_by(before)
    summary = load.stop()
    assert summary["failed"] == 0, json.dumps(summary, indent=1)
    assert set(summary["versions"]) == {before, second}
    assert summary["sent"] > 50
    assert platform.version(second)["status"]["completionStatus"] == "RolledBack"


def test_a_candidate_waits_for_a_persons_word_and_then_serves(
    platform: Platform, first: str
) -> None:
    before = platform.champion()
    version = candidate_of(platform, "approved", seed=3)
    holds(platform.champion, lambda name: name == before, seconds=10)
    approve(platform, version)
    platform.live(version)
    platform.answered_by(version)
    assert platform.version(version)["spec"]["desiredState"] == "Candidate", (
        "a person's word is no edit of ours"
    )


def test_a_damaged_artefact_is_quarantined_and_the_champion_serves_on_until_it_is_mended(
    platform: Platform, first: str
) -> None:
    before = platform.champion()
    version = candidate_of(platform, "damaged", seed=4)
    folder = folder_of(platform.version(version))
    platform.scripts.run("damage", _DAMAGE, "damage", folder)
    approve(platform, version)
    found = platform.reaches(version, "Quarantined")
    assert condition(found, "ArtifactVerified")[:2] == ("False", "ArtifactInvalid")
    assert condition(found, "Ready")[0] == "False"
    assert "model.onnx" in condition(found, "ArtifactVerified")[2]
    platform.answered_by(before)
    until(lambda: platform.kubectl.get("deployment", f"{MODEL}-candidate") is None, seconds=60)
    platform.scripts.run("mend", _DAMAGE, "mend", folder)
    approve(platform, version, clearQuarantine=True)
    platform.live(version)


def test_a_canary_gets_its_share_of_the_people_before_it_gets_everybody(
    platform: Platform, first: str
) -> None:
    before = platform.champion()
    steps = [{"setWeight": 50}, {"pauseSeconds": 45}]
    platform.train("canary", seed=5, promotion={"mode": "Auto", "rollout": {"steps": steps}})
    version = platform.version_of("canary")
    found = platform.reaches(version, "Canary")
    assert found["status"]["trafficPercent"] == 50

    def versions_that_answer() -> set[str]:
        with platform.web() as client:
            answers = set()
            for number in range(24):
                client.headers["x-client-id"] = f"somebody-{number}"
                answers.add(predict(client)["model_version"])
            return answers

    until(versions_that_answer, lambda seen: seen == {before, version}, seconds=40)
    platform.live(version)
    until(versions_that_answer, lambda seen: seen == {version}, seconds=40)


def test_the_version_that_serves_cannot_be_deleted(platform: Platform, first: str) -> None:
    champion = platform.champion()
    done = platform.kubectl.run("delete", VERSION, champion, "--wait=false", check=False)
    assert done.returncode != 0
    assert f"ModelVersion {champion} serves the users of {MODEL}" in done.stderr
    assert phase(platform.version(champion)) == "Live"
    assert "deletionTimestamp" not in platform.version(champion)["metadata"]


def test_a_deleted_model_deployment_comes_back_with_the_same_version(
    platform: Platform, first: str
) -> None:
    champion = platform.champion()
    uid = platform.kubectl.there("deployment", f"{MODEL}-model")["metadata"]["uid"]
    platform.kubectl.delete("deployment", f"{MODEL}-model", "--wait=true")
    fresh = until(
        lambda: platform.kubectl.there("deployment", f"{MODEL}-model"),
        lambda one: one["metadata"]["uid"] != uid,
        seconds=90,
    )
    assert fresh["spec"]["template"]["metadata"]["labels"]["sentops.dev/model-version"] == champion
    platform.live(champion)
    platform.answered_by(champion)


def test_a_model_server_that_is_killed_costs_no_answer(platform: Platform, first: str) -> None:
    """Two replicas, and a pod that ends is taken out before it stops."""
    champion = platform.champion()
    platform.live(champion)
    platform.kubectl.run(
        "rollout", "status", f"deployment/{MODEL}-model", "--timeout=120s", seconds=150
    )
    with platform.load("load-kill") as load:
        pods = platform.kubectl.list(
            "pods", {"sentops.dev/model": MODEL, "sentops.dev/slot": "champion"}
        )
        platform.kubectl.delete("pod", pods[0]["metadata"]["name"])
        platform.kubectl.run(
            "rollout", "status", f"deployment/{MODEL}-model", "--timeout=120s", seconds=150
        )
    summary = load.stop()
    assert summary["failed"] == 0, json.dumps(summary, indent=1)
