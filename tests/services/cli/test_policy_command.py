"""`sentops policy` against a real HTTP server: what it prints, and how it exits."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sentops_core.domain.conditions import Condition, ConditionStatus
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import (
    Metric,
    RetrainDecision,
    RetrainOutcome,
    RetrainPolicyStatus,
    TriggerName,
)
from tests.services.cli.a_platform import Platform, serving
from tests.services.cli.test_commands import sentops

AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
WEEKLY = """
apiVersion: sentops.dev/v1alpha1
kind: RetrainPolicy
metadata: {name: weekly, labels: {team: reviews}}
spec:
  modelName: sentiment
  triggers:
    schedule: {cron: 0 3 * * SUN, timeZone: Europe/Rome}
status: {observedGeneration: 3}
"""
LABELS = WEEKLY.replace("weekly", "labels").replace(
    "schedule: {cron: 0 3 * * SUN, timeZone: Europe/Rome}", "newLabels: {min: 50}"
)


@pytest.fixture
def platform() -> Iterator[Platform]:
    with serving(Platform()) as running:
        yield running


def applied(platform: Platform, text: str = WEEKLY) -> str:
    done = sentops(platform, "policy", "apply", "-f", "-", stdin=text)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_policy_is_made_changed_and_left_as_it_is(platform: Platform, tmp_path: Path) -> None:
    assert applied(platform) == "weekly is made.\n"
    assert applied(platform) == "weekly is unchanged.\n"
    file = tmp_path / "policies.yaml"
    file.write_text(f"{WEEKLY.replace('0 3', '0 4')}---{LABELS}")
    done = sentops(platform, "policy", "apply", "--file", str(file))
    assert done.stdout == "weekly is changed.\nlabels is made.\n"
    schedule = platform.policies["weekly"].spec.triggers.schedule
    assert schedule is not None
    assert schedule.cron == "0 4 * * SUN"


def test_what_was_shown_as_json_can_be_applied_again(platform: Platform) -> None:
    applied(platform)
    shown = sentops(platform, "policy", "show", "weekly", "--json").stdout
    assert json.loads(shown)["spec"]["guards"]["maxPerDay"] == 2
    assert applied(platform, shown) == "weekly is unchanged.\n"


def decided(platform: Platform) -> None:
    policy = platform.policies["weekly"]
    decision = RetrainDecision(
        at=AT,
        outcome=RetrainOutcome.START,
        trigger=TriggerName.SCHEDULE,
        reason="It is time by the schedule.",
        inputs=(Metric(name="newLabels", value="31"),),
    )
    ready = Condition(
        type="Ready",
        status=ConditionStatus.TRUE,
        reason=Reason.WATCHING,
        message="Looked at regularly.",
        last_transition_time=AT,
    )
    status = RetrainPolicyStatus(
        last_decision=decision,
        last_training_job="weekly-1",
        last_training_time=AT,
        trainings_today=1,
        conditions=(ready,),
    )
    platform.policies["weekly"] = policy.model_copy(update={"status": status})


@pytest.mark.parametrize("arguments", [("policy",), ("policy", "list")])
def test_policies_are_listed_with_what_was_decided(
    platform: Platform, arguments: tuple[str, ...]
) -> None:
    applied(platform)
    applied(platform, LABELS)
    decided(platform)
    assert sentops(platform, *arguments).stdout.splitlines() == [
        "policy\tmodel\toutcome\ttrigger\tlast_training\ttoday\treason",
        "weekly\tsentiment\tStart\tschedule\t2026-11-22 09:30\t1\tIt is time by the schedule.",
        "labels\tsentiment\t\t\t\t0\t",
    ]
    listed = json.loads(sentops(platform, *arguments, "--json").stdout)
    assert [one["metadata"]["name"] for one in listed] == ["weekly", "labels"]


def test_a_policy_is_shown_with_the_figures_of_its_decision(platform: Platform) -> None:
    applied(platform, WEEKLY.replace("modelName", "dryRun: true\n  modelName"))
    decided(platform)
    assert sentops(platform, "policy", "show", "weekly").stdout.splitlines() == [
        "weekly: model sentiment, dry run",
        "Trigger schedule: cron 0 3 * * SUN, timeZone Europe/Rome, startingDeadlineSeconds 3600",
        "Guard cooldownSeconds: 21600",
        "Guard maxPerDay: 2",
        "Guard minNewLabels: 20",
        "Decided 2026-11-22 09:30 UTC: Start (schedule)",
        "It is time by the schedule.",
        "  newLabels 31",
        "Last training weekly-1, 1 in 24 hours",
        "Ready True (Watching): Looked at regularly.",
    ]


def test_a_policy_is_deleted_once_asked(platform: Platform) -> None:
    applied(platform)
    assert sentops(platform, "policy", "delete", "weekly", stdin="n\n").returncode == 1
    assert "weekly" in platform.policies
    done = sentops(platform, "policy", "delete", "weekly", "--yes")
    assert (done.returncode, done.stdout) == (0, "weekly is deleted.\n")
    gone = sentops(platform, "policy", "show", "weekly")
    assert gone.returncode == 1
    assert "There is no retraining policy weekly." in gone.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no document"),
        ("a: [", "neither YAML nor JSON"),
        ("[1, 2]", "kind: RetrainPolicy"),
        (WEEKLY.replace("RetrainPolicy", "TrainingJob"), "kind: RetrainPolicy"),
        (WEEKLY.replace("name: weekly, ", ""), "metadata.name"),
        (WEEKLY.replace("0 3 * * SUN", "whenever"), "cron has five fields"),
    ],
)
def test_what_is_no_policy_is_bad_input(platform: Platform, text: str, words: str) -> None:
    done = sentops(platform, "policy", "apply", "-f", "-", stdin=text)
    assert done.returncode == 2
    assert words in done.stderr
    assert platform.policies == {}


def test_a_file_that_is_not_there_is_bad_input(platform: Platform, tmp_path: Path) -> None:
    done = sentops(platform, "policy", "apply", "-f", str(tmp_path / "none.yaml"))
    assert done.returncode == 2
    assert "cannot be read" in done.stderr
