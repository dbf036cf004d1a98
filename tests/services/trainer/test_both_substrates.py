"""What the API promises wherever the resources live: the same answers, refusals, routing and audit trail."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sentops_core.domain.resources import DesiredState, ModelVersion
from sentops_core.store.audit import AuditRow
from sentops_core.store.pool import Pool
from tests.services.trainer.machines import OneMachine, Platform, a_cluster, started
from tests.support.eventually import eventually

pytestmark = pytest.mark.pg

ON_HOLD = {"steps": [{"setWeight": 10}, {"analysis": True}], "progressDeadlineSeconds": 1}
FAILED_GATE = {"verdict": "Fail", "reasons": ["macro_f1 0.4 is under 0.5."], "samples": 100}


@pytest.fixture(params=["local", "kubernetes"])
async def platform(
    request: pytest.FixtureRequest,
    pool: Pool,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Platform]:
    if request.param == "kubernetes":
        async with a_cluster(pool, database_url, tmp_path, monkeypatch) as cluster:
            yield cluster
    else:
        machine = OneMachine(pool, folder=tmp_path, database_url=database_url)
        async with started(machine):
            yield machine


async def two_versions(platform: Platform) -> None:
    await platform.register(1)
    await platform.reaches("sentiment-v1", "Live")
    await platform.register(2)
    await platform.reaches("sentiment-v2", "Live")
    await platform.reaches("sentiment-v1", "Archived")


async def test_a_document_becomes_a_job_with_events_and_an_audit_line(platform: Platform) -> None:
    headers = {"x-sentops-actor": "ada"}
    answer = await platform.client.post("/train", json=platform.manifest(), headers=headers)
    assert (answer.status_code, answer.json()) == (
        202,
        {"name": "by-hand", "status_url": "/training-jobs/by-hand"},
    )
    job = await platform.job_reaches("by-hand", "Suspended")
    assert job["metadata"]["uid"]
    assert job["metadata"]["creationTimestamp"]
    assert job["spec"]["gate"]["minSamples"] == 50
    assert [one["metadata"]["name"] for one in await listed(platform, "/training-jobs")] == [
        "by-hand"
    ]
    again = await platform.client.post("/train", json=platform.manifest())
    assert again.status_code == 409
    assert again.json()["detail"] == (
        "A training job named by-hand exists already; choose another name."
    )

    async def written_down() -> list[AuditRow]:
        return await platform.audit("by-hand")

    [created] = await eventually(written_down)
    assert (created.actor, created.action) == ("ada", "training_job.created")
    assert created.evidence["spec"]["modelName"] == "sentiment"
    assert (await platform.client.get("/training-jobs/by-hand/log")).text == ""


async def listed(platform: Platform, path: str) -> list[dict[str, Any]]:
    answer = await platform.client.get(path)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


async def test_a_job_is_suspended_resumed_and_cancelled_for_good(platform: Platform) -> None:
    await platform.client.post("/train", json=platform.manifest())
    await platform.job_reaches("by-hand", "Suspended")
    url, headers = "/training-jobs/by-hand", {"x-sentops-actor": "ada"}
    for action in ("suspend", "cancel"):
        answer = await platform.client.post(f"{url}/{action}", headers=headers)
        assert answer.status_code == 202, answer.text
    again = await platform.client.post(f"{url}/cancel", headers=headers)
    assert again.status_code in {202, 409}, "409 once it has ended"
    job = await platform.job_reaches("by-hand", "Failed")
    assert {one["type"]: one["reason"] for one in job["status"]["conditions"]}["Failed"] == (
        "Cancelled"
    )
    refused = await platform.client.post(f"{url}/resume")
    assert refused.status_code == 409
    assert refused.json()["detail"] == (
        "Training job by-hand is failed and cannot be resumed any more."
    )
    deeds = await platform.deeds("by-hand", "ada")
    assert deeds[:2] == ["training_job.suspended", "training_job.cancelled"]

    async def told() -> bool:
        reasons = await platform.event_reasons("by-hand")
        assert reasons[:1] == ["Created"]
        assert reasons[-1:] == ["Cancelled"]
        return True

    await eventually(told)
    finished = [line for line in await platform.audit("by-hand") if "finished" in line.action]
    assert [line.evidence["phase"] for line in finished] == ["Failed"]


async def test_what_cannot_be_honoured_is_refused_with_a_sentence(platform: Platform) -> None:
    unknown = await platform.client.post("/train", json=platform.manifest(colour="red"))
    assert unknown.status_code == 422
    nowhere = platform.manifest(dataset={"storageUri": "named://x", "contentHash": "sha256:x"})
    assert (await platform.client.post("/train", json=nowhere)).status_code == 422
    idle = {"method": "Linear", "hyperparameters": {"epochs": 3}}
    unused = await platform.client.post("/train", json=platform.manifest(trainer=idle))
    assert unused.status_code == 422
    assert "epochs" in unused.json()["detail"]
    assert (await platform.client.post("/train", json={"dataset_id": "v9"})).status_code == 404
    no_dataset = await platform.client.post("/train", json={})
    assert no_dataset.status_code == 409
    assert "upload one first" in no_dataset.json()["detail"]
    assert await listed(platform, "/training-jobs") == []


async def test_unknown_names_are_named_in_a_404(platform: Platform) -> None:
    for path in ("", "/events", "/log"):
        answer = await platform.client.get(f"/training-jobs/x{path}")
        assert (answer.status_code, answer.json()["detail"]) == (404, "There is no training job x.")
    for action in ("suspend", "resume", "cancel"):
        assert (await platform.client.post(f"/training-jobs/x/{action}")).status_code == 404
    answer = await platform.client.get("/model-versions/x")
    assert (answer.status_code, answer.json()["detail"]) == (404, "There is no model version x.")
    for action in ("promote", "approve", "archive", "rollback"):
        assert (await platform.act("x", action)).status_code == 404


async def test_the_first_version_serves_and_the_next_replaces_it(platform: Platform) -> None:
    routing = await platform.client.get("/routing")
    assert routing.json() == {"revision": 0, "variants": []}
    await platform.register(1)
    await platform.reaches("sentiment-v1", "Live")
    await platform.routes(sentiment_v1=100)
    first = (await platform.client.get("/routing")).json()
    assert first["variants"][0]["digest"] == platform.artifact(1).digest
    await platform.register(2)
    await platform.reaches("sentiment-v2", "Live")
    await platform.reaches("sentiment-v1", "Archived")
    await platform.routes(sentiment_v2=100)
    answer = await platform.client.get("/routing")
    assert answer.json()["revision"] > first["revision"]
    same = await platform.client.get("/routing", headers={"if-none-match": answer.headers["etag"]})
    assert same.status_code == 304
    versions = [one["metadata"]["name"] for one in await listed(platform, "/model-versions")]
    assert versions == ["sentiment-v2", "sentiment-v1"]


async def test_going_back_returns_to_who_served_before_once(platform: Platform) -> None:
    await two_versions(platform)
    assert "serves already" in (await platform.act("sentiment-v2", "promote")).json()["detail"]
    serving = await platform.act("sentiment-v2", "archive")
    assert serving.status_code == 409
    assert "roll it back first" in serving.json()["detail"]
    not_live = await platform.act("sentiment-v1", "rollback")
    assert "not Live" in not_live.json()["detail"]
    back = await platform.act("sentiment-v2", "rollback", reason="worse")
    assert (back.status_code, back.json()["metadata"]["name"]) == (202, "sentiment-v1")
    await platform.reaches("sentiment-v1", "Live")
    await platform.reaches("sentiment-v2", "RolledBack")
    await platform.routes(sentiment_v1=100)
    nothing = await platform.act("sentiment-v1", "rollback")
    assert nothing.status_code == 409
    assert "No version served before sentiment-v1" in nothing.json()["detail"]
    [line] = [one for one in await platform.audit("sentiment-v2") if one.actor == "ada"]
    assert line.action == "model_version.rolled_back"
    assert line.evidence == {
        "to": "sentiment-v1",
        "why": "Rolled back by ada: worse.",
        "reason": "RolledBack",
    }


async def test_a_return_that_nobody_asked_the_api_for_has_one_line_as_well(
    platform: Platform,
) -> None:
    await two_versions(platform)
    await platform.archive_past_the_api("sentiment-v2")
    await platform.routes(sentiment_v1=100)
    await platform.reaches("sentiment-v2", "RolledBack")

    async def lines() -> list[AuditRow]:
        every = await platform.audit("sentiment-v2")
        return [one for one in every if one.action.startswith("model_version.rolled")]

    [line] = await eventually(lines)
    assert line.action == "model_version.rolled_back"
    assert (line.evidence["to"], line.evidence["reason"]) == ("sentiment-v1", "RolledBack")
    assert "Taken out of service" in line.evidence["why"]


async def test_who_was_replaced_can_be_promoted_again_and_again(platform: Platform) -> None:
    await two_versions(platform)
    for winner, loser in [(1, 2), (2, 1), (1, 2), (2, 1)]:
        answer = await platform.act(f"sentiment-v{winner}", "promote")
        assert answer.status_code == 202, answer.text
        await platform.reaches(f"sentiment-v{winner}", "Live")
        await platform.reaches(f"sentiment-v{loser}", "Archived")
    await platform.routes(sentiment_v2=100)
    assert await platform.deeds("sentiment-v1", "ada") == ["model_version.promotion_requested"] * 2


async def test_a_champion_that_serves_for_want_of_another_is_wanted_again(
    platform: Platform,
) -> None:
    await platform.register(1)
    live = await platform.reaches("sentiment-v1", "Live")
    await platform.archive_past_the_api("sentiment-v1")
    again = await platform.act("sentiment-v1", "promote")
    assert (again.status_code, again.json()["spec"]["desiredState"]) == (202, "Champion")
    assert (await platform.act("sentiment-v1", "promote")).status_code == 409

    async def taken_note_of() -> bool:
        version = await platform.version("sentiment-v1")
        return version.status.observed_generation == version.metadata.generation

    await eventually(taken_note_of)
    still = await platform.version("sentiment-v1")
    assert still.status.phase_started_at == live.status.phase_started_at, "it served all the while"


async def test_a_gate_that_said_no_is_overruled_only_with_force_and_a_reason(
    platform: Platform,
) -> None:
    await platform.register(1, gate_result=FAILED_GATE, desired_state=DesiredState.CANDIDATE)
    await platform.reaches("sentiment-v1", "Pending")
    refused = await platform.act("sentiment-v1", "promote")
    assert refused.status_code == 409
    assert "macro_f1 0.4 is under 0.5. To promote it all the same" in refused.json()["detail"]
    assert (await platform.act("sentiment-v1", "approve")).status_code == 409
    assert (await platform.act("sentiment-v1", "promote", force=True)).status_code == 422
    forced = await platform.act("sentiment-v1", "promote", force=True, reason="the test is wrong")
    assert forced.json()["spec"]["desiredState"] == "Champion"
    await platform.reaches("sentiment-v1", "Live")
    [line] = [one for one in await platform.audit("sentiment-v1") if one.actor == "ada"]
    assert line.evidence == {"reason": "the test is wrong", "force": True, "clearQuarantine": False}


async def test_a_candidate_waits_for_a_persons_yes(platform: Platform) -> None:
    await platform.register(1, desired_state=DesiredState.CANDIDATE)
    await platform.reaches("sentiment-v1", "Pending")
    answer = await platform.act("sentiment-v1", "approve", reason="looks good")
    approval = answer.json()["spec"]["approval"]
    assert (approval["approved"], approval["by"], approval["reason"]) == (True, "ada", "looks good")
    await platform.reaches("sentiment-v1", "Live")
    late = await platform.act("sentiment-v1", "approve")
    assert late.json()["detail"] == (
        "sentiment-v1 is Live; only a waiting candidate can be approved."
    )


async def test_a_canary_on_hold_is_ended_by_promoting_it(platform: Platform) -> None:
    await platform.register(1)
    await platform.reaches("sentiment-v1", "Live")
    await platform.register(2, rollout=ON_HOLD)
    await platform.reaches("sentiment-v2", "Paused")
    await platform.routes(sentiment_v1=90, sentiment_v2=10)
    assert (await platform.act("sentiment-v2", "promote")).status_code == 202
    await platform.reaches("sentiment-v2", "Live")
    await platform.routes(sentiment_v2=100)


async def test_a_canary_is_taken_back_by_archiving_it_and_holds_up_a_rollback(
    platform: Platform,
) -> None:
    await two_versions(platform)
    await platform.register(3, rollout=ON_HOLD)
    await platform.reaches("sentiment-v3", "Paused")
    assert "Archive it" in (await platform.act("sentiment-v3", "rollback")).json()["detail"]
    busy = await platform.act("sentiment-v2", "rollback")
    assert (busy.status_code, "sentiment-v3 is being rolled out" in busy.text) == (409, True)
    assert (await platform.act("sentiment-v3", "archive", reason="no")).status_code == 202
    await platform.reaches("sentiment-v3", "Archived")
    await platform.routes(sentiment_v2=100)
    assert await platform.deeds("sentiment-v3", "ada") == ["model_version.archive_requested"]


async def test_a_quarantine_is_cleared_by_a_person_with_a_reason(platform: Platform) -> None:
    await platform.register(1)
    await platform.reaches("sentiment-v1", "Live")
    await platform.register(2, desired_state=DesiredState.CANDIDATE)
    platform.damage(2)
    await platform.act("sentiment-v2", "approve")
    await platform.reaches("sentiment-v2", "Quarantined")
    refused = await platform.act("sentiment-v2", "promote")
    assert refused.status_code == 409
    assert "sentiment-v2 is quarantined (" in refused.json()["detail"]
    assert (await platform.act("sentiment-v2", "promote", clear_quarantine=True)).status_code == 422
    for _ in range(2):  # still damaged: it is tried each time, and refused each time
        before = await platform.version("sentiment-v2")
        again = await platform.act(
            "sentiment-v2", "promote", clear_quarantine=True, reason="copied again"
        )
        assert again.status_code == 202, again.text
        await quarantined_after(platform, before)
    await platform.routes(sentiment_v1=100)


async def quarantined_after(platform: Platform, before: ModelVersion) -> None:
    async def look() -> bool:
        version = await platform.reaches("sentiment-v2", "Quarantined")
        return version.status.phase_started_at != before.status.phase_started_at

    await eventually(look)
