"""Retraining policies on pages and in the API, with the real trainer behind them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from sentops_backoffice.policy_form import SUGGESTED
from sentops_core.domain.resources import (
    Metric,
    RetrainDecision,
    RetrainOutcome,
    RetrainPolicy,
    RetrainPolicySpec,
    RetrainPolicyStatus,
    TriggerName,
)
from sentops_core.store.audit import Audit
from sentops_core.store.pool import open_connection
from sentops_core.store.retrain_policies import RetrainPolicies
from sentops_trainer.app import create_trainer
from sentops_trainer.settings import LocalSettings
from tests.services.backoffice.support import (
    FIRST_PASSWORD,
    PASSWORD,
    TRAINER_TOKEN,
    XSS,
    Backoffice,
    Browser,
    RecordingTrainer,
    a_backoffice,
    field_of,
)
from tests.services.backoffice.test_access import an_account
from tests.support.serving import served

pytestmark = pytest.mark.pg
LIST = "/backoffice/retraining"
API = "/backoffice/api/retrain-policies"
FORM = {"name": "weekly", **SUGGESTED}
SPEC: dict[str, Any] = {"modelName": "sentiment", "triggers": {"newLabels": {"min": 200}}}


@pytest.fixture
async def platform(database_url: str, tmp_path: Path) -> AsyncIterator[Backoffice]:
    """The back office beside a real trainer."""
    settings = LocalSettings(
        database_url=SecretStr(database_url),
        token=SecretStr(TRAINER_TOKEN),
        store_uri=(tmp_path / "store").as_uri(),
        model_url="http://127.0.0.1:9",
        model_control_token=SecretStr("control"),
        runs_dir=tmp_path / "runs",
    )
    with served(create_trainer(settings)) as url:
        async with a_backoffice(database_url, tmp_path, url) as running:
            yield running


@pytest.fixture
async def anna(platform: Backoffice) -> AsyncIterator[Browser]:
    """An admin on the pages."""
    async with platform.client() as client:
        browser = Browser(client)
        await browser.log_in("admin", FIRST_PASSWORD)
        await browser.choose_password(FIRST_PASSWORD, PASSWORD)
        yield browser


@pytest.fixture
async def programs(platform: Backoffice) -> AsyncIterator[httpx.AsyncClient]:
    async with platform.api() as client:
        yield client


async def the_policy(programs: httpx.AsyncClient, name: str = "weekly") -> dict[str, Any]:
    answer = await programs.get(f"{API}/{name}")
    assert answer.status_code == 200, answer.text
    policy: dict[str, Any] = answer.json()["policy"]
    return policy


async def test_a_policy_is_made_changed_suspended_let_loose_and_deleted_on_its_pages(
    anna: Browser, programs: httpx.AsyncClient
) -> None:
    assert "New policy" in (await anna.client.get(LIST)).text
    made = await anna.send("/backoffice/retrain", **FORM)
    assert made.headers["location"] == f"{LIST}/weekly?done=retraining.made", made.text
    policy = await the_policy(programs)
    assert policy["spec"]["dryRun"] is True
    assert policy["spec"]["triggers"]["quality"]["floor"] == "0.75"
    shown = (await anna.client.get(f"{LIST}/weekly")).text
    assert "starts nothing" in shown
    assert "200 new labels or more" in shown

    form = (await anna.client.get(f"{LIST}/weekly/edit")).text
    changed = FORM | {"generation": field_of(form, "generation"), "max_per_day": "1"}
    answer = await anna.send(f"{LIST}/weekly/edit", **changed)
    assert answer.headers["location"] == f"{LIST}/weekly?done=retraining.changed"
    assert (await the_policy(programs))["spec"]["guards"]["maxPerDay"] == 1

    for action, expected in (
        ("suspend", {"suspend": True, "dryRun": True}),
        ("resume", {"suspend": False, "dryRun": True}),
        ("go-live", {"suspend": False, "dryRun": False}),
    ):
        answer = await anna.send(f"{LIST}/weekly/{action}")
        assert answer.headers["location"] == f"{LIST}/weekly?done=retraining.{action}"
        spec = (await the_policy(programs))["spec"]
        assert {name: spec[name] for name in expected} == expected
    assert "go-live" not in (await anna.client.get(f"{LIST}/weekly")).text

    assert "stays in the audit log" in (await anna.client.get(f"{LIST}/weekly/delete")).text
    answer = await anna.send(f"{LIST}/weekly/delete")
    assert answer.headers["location"] == f"{LIST}?done=retraining.deleted"
    assert (await programs.get(API)).json() == {"policies": []}
    audit = (await programs.get("/backoffice/api/audit", params={"subject": "weekly"})).json()
    lines = [one for one in audit["lines"] if one["action"] != "retrain_policy.decided"]
    assert {one["actor"] for one in lines} == {"admin"}
    assert [one["action"].rpartition(".")[2] for one in reversed(lines)] == [
        "created",
        *["changed"] * 4,
        "deleted",
    ]


async def test_two_people_do_not_overwrite_each_other(
    anna: Browser, programs: httpx.AsyncClient
) -> None:
    await anna.send("/backoffice/retrain", **FORM)
    await anna.send(f"{LIST}/weekly/suspend")
    late = await anna.send(f"{LIST}/weekly/edit", **FORM | {"generation": "1", "max_per_day": "1"})
    assert late.status_code == 409
    assert "changed by somebody else meanwhile" in late.text
    assert (await the_policy(programs))["spec"]["suspend"] is True


async def test_a_name_that_is_taken_is_refused(anna: Browser, programs: httpx.AsyncClient) -> None:
    await anna.send("/backoffice/retrain", **FORM)
    again = await anna.send("/backoffice/retrain", **FORM | {"mode": "real"})
    assert again.status_code == 422
    assert "There is a policy of the name weekly already." in again.text
    assert (await the_policy(programs))["spec"]["dryRun"] is True


async def test_mistakes_are_told_at_their_fields_and_nothing_typed_is_lost(
    anna: Browser, programs: httpx.AsyncClient
) -> None:
    wrong = FORM | {"quality_floor": "75", "on_schedule": "on", "cron": XSS}
    answer = await anna.send("/backoffice/retrain", **wrong)
    assert answer.status_code == 422
    assert 'id="quality_floor-wrong"' in answer.text
    assert 'id="cron-wrong"' in answer.text
    assert 'value="weekly"' in answer.text
    assert XSS not in answer.text
    assert (await programs.get(API)).json() == {"policies": []}


async def test_the_trainers_own_refusal_is_said_on_the_form(anna: Browser) -> None:
    base = {"base": "other", "base_uri": "pvc://claim/base"}  # a volume claim, on one machine
    answer = await anna.send("/backoffice/retrain", **FORM | base)
    assert answer.status_code == 422, answer.text
    assert "On one machine" in answer.text


async def test_programs_do_all_that_pages_do(programs: httpx.AsyncClient) -> None:
    made = await programs.put(f"{API}/weekly", json={"spec": SPEC | {"dryRun": True}})
    assert made.status_code == 200, made.text
    assert made.json()["metadata"]["generation"] == 1
    again = await programs.put(f"{API}/weekly", json={"spec": SPEC, "generation": 0})
    assert again.status_code == 409
    for action, name, value in (
        ("suspend", "suspend", True),
        ("resume", "suspend", False),
        ("go-live", "dryRun", False),
    ):
        answer = await programs.post(f"{API}/weekly/{action}")
        assert answer.json()["policy"]["spec"][name] is value
    assert (await programs.get(f"{API}/weekly/trainings")).json() == {"trainings": []}
    assert (await programs.delete(f"{API}/weekly")).status_code == 204
    assert (await programs.get(f"{API}/weekly")).status_code == 404
    unknown = await programs.post(f"{API}/weekly/suspend")
    assert unknown.status_code == 404
    assert unknown.headers["content-type"] == "application/problem+json"
    bad = await programs.put(f"{API}/weekly", json={"spec": SPEC | {"triggers": {}}})
    assert bad.status_code == 422
    assert "at least one of newLabels" in bad.text


@pytest.mark.parametrize("role", ["viewer", "annotator"])
async def test_only_admins_make_and_change_policies(
    admin: Browser, backoffice: Backoffice, trainer: RecordingTrainer, role: str
) -> None:
    somebody = await an_account(admin, backoffice, role)
    assert (await somebody.client.get(LIST)).status_code == 200
    assert '/backoffice/retrain"' not in (await somebody.client.get(LIST)).text
    for path in ("/backoffice/retrain", f"{LIST}/weekly/edit", f"{LIST}/weekly/delete"):
        assert (await somebody.client.get(path)).status_code == 403
        assert (await somebody.send(path, **FORM)).status_code == 403
    for action in ("suspend", "resume", "go-live"):
        assert (await somebody.send(f"{LIST}/weekly/{action}")).status_code == 403
    assert trainer.asked == []


async def a_decided_policy(database_url: str, **metadata: str) -> None:
    """As the trainer writes it: what it decided, on which figures."""
    now = datetime.now(UTC)
    decision = RetrainDecision(
        at=now,
        outcome=RetrainOutcome.WOULD_START,
        trigger=TriggerName.QUALITY,
        reason=f"The lower end is 0.6500, under the floor. {XSS}",
        inputs=(Metric(name="accuracyLow", value="0.6500"), Metric(name="odd", value=XSS)),
    )
    policy = RetrainPolicy.model_validate(
        {
            "metadata": {"name": "weekly", "generation": 1, **metadata},
            "spec": SPEC | {"dryRun": True},
            "status": RetrainPolicyStatus(last_decision=decision).to_document(),
        }
    )
    connection = await open_connection(database_url)
    try:
        await RetrainPolicies(connection).mirror(policy, created_by="anna")
        evidence = {
            "outcome": decision.outcome.value,
            "trigger": "quality",
            "reason": decision.reason,
            "inputs": {one.name: one.value for one in decision.inputs},
        }
        await Audit(connection).record("trainer", "retrain_policy.decided", "weekly", evidence)
    finally:
        await connection.close()


async def test_a_decision_is_shown_with_its_figures_and_in_the_history(
    admin: Browser, database_url: str
) -> None:
    await a_decided_policy(database_url)
    for path in (LIST, f"{LIST}/weekly"):
        page = (await admin.client.get(path)).text
        assert "Would start" in page
        assert "low quality" in page
        assert XSS not in page
    assert "Accuracy, lower end" in page
    assert page.count("The lower end is 0.6500") == 2  # now, and in the history
    italian = (await admin.client.get(f"{LIST}/weekly?lang=it")).text
    assert "0,6500" in italian
    assert "Avvierebbe" in italian


async def test_programs_read_the_history_page_by_page(
    api: httpx.AsyncClient, database_url: str
) -> None:
    for _ in range(2):
        await a_decided_policy(database_url)
    first = (await api.get(f"{API}/weekly/decisions", params={"limit": 1})).json()
    second = (
        await api.get(f"{API}/weekly/decisions", params={"limit": 1, "before": first["next"]})
    ).json()
    found = first["decisions"] + second["decisions"]
    assert len({one["id"] for one in found}) == 2
    assert {one["evidence"]["trigger"] for one in found} == {"quality"}


async def test_a_policy_of_a_cluster_is_shown_and_changed_there(
    admin: Browser, trainer: RecordingTrainer, database_url: str
) -> None:
    await a_decided_policy(database_url, namespace="team")
    page = (await admin.client.get(f"{LIST}/weekly")).text
    assert "kubectl edit retrainpolicy weekly -n team" in page
    assert f"{LIST}/weekly/edit" not in page
    trainer.refuse = (409, "In a cluster a retraining policy is a RetrainPolicy resource.")
    refused = await admin.send(f"{LIST}/weekly/suspend")
    assert refused.status_code == 409
    assert "RetrainPolicy resource" in refused.text


async def test_what_the_trainer_is_asked_names_who_asked_and_what_was_looked_at(
    admin: Browser, trainer: RecordingTrainer, database_url: str
) -> None:
    await a_decided_policy(database_url)
    await admin.send(f"{LIST}/weekly/suspend")
    await admin.send(f"{LIST}/weekly/delete")
    spec = RetrainPolicySpec.model_validate(SPEC | {"dryRun": True, "suspend": True})
    body = {"spec": spec.to_document(), "metadata": {"generation": 1}}
    assert trainer.asked == [
        ("/retrain-policies/weekly", body, "admin"),
        ("/retrain-policies/weekly", None, "admin"),
    ]


async def test_pages_are_there_while_the_trainer_is_away(database_url: str, tmp_path: Path) -> None:
    await a_decided_policy(database_url)
    away = "http://127.0.0.1:9"
    async with a_backoffice(database_url, tmp_path, away) as running, running.client() as client:
        browser = Browser(client)
        await browser.log_in("admin", FIRST_PASSWORD)
        await browser.choose_password(FIRST_PASSWORD, PASSWORD)
        found = await asyncio.gather(*(client.get(one) for one in (LIST, f"{LIST}/weekly")))
        assert [one.status_code for one in found] == [200, 200]
        refused = await browser.send("/backoffice/retrain", **FORM | {"name": "other"})
        assert refused.status_code == 503
        assert 'value="other"' in refused.text


async def test_an_unknown_policy_is_said_in_the_readers_language(admin: Browser) -> None:
    page = await admin.client.get(f"{LIST}/nothing?lang=it")
    assert page.status_code == 404
    assert "Non esiste nessuna regola di riaddestramento nothing." in page.text
