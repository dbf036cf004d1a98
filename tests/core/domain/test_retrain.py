"""Whether to train again: what triggers it, what holds it back, and what nobody knows."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sentops_core.domain.conditions import find_condition
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import (
    RetrainFailure,
    RetrainOutcome,
    RetrainPolicy,
    RetrainPolicyStatus,
    RetrainStart,
    TriggerName,
)
from sentops_core.domain.retrain import (
    DAY,
    Decision,
    DriftFigure,
    Evidence,
    QualityFigure,
    decide,
    job_name,
)
from sentops_core.domain.retrain_status import begun, decided, failed, invalid, seen

NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
START, WOULD_START = RetrainOutcome.START, RetrainOutcome.WOULD_START
WAIT, UNKNOWN = RetrainOutcome.WAIT, RetrainOutcome.UNKNOWN
EVERYTHING = Evidence(champion="v3", dataset="v7", new_labels=500)
QUALITY = {"quality": {"floor": "0.75", "minVotes": 50, "window": "7d"}}
DRIFT = {"drift": {"window": "24h", "windows": 2}}
NIGHTLY = {"schedule": {"cron": "0 12 * * *"}}


def a_policy(
    triggers: dict[str, Any] | None = None,
    *,
    status: RetrainPolicyStatus | None = None,
    guards: dict[str, Any] | None = None,
    **spec: Any,
) -> RetrainPolicy:
    return RetrainPolicy.model_validate(
        {
            "metadata": {
                "name": "weekly",
                "uid": "u1",
                "creationTimestamp": NOW - timedelta(days=30),
            },
            "spec": {
                "modelName": "sentiment",
                "triggers": triggers or {"newLabels": {"min": 200}},
                "guards": guards or {},
                **spec,
            },
            "status": status or RetrainPolicyStatus(observed_generation=1),
        }
    )


def a_figure(low: float | None, votes: int = 80, age: timedelta = timedelta()) -> QualityFigure:
    return QualityFigure(votes=votes, value=0.8, low=low, taken_at=NOW - age)


def drift(*drifted: str, age: timedelta = timedelta()) -> tuple[DriftFigure, ...]:
    """The newest window first; "" is a window without drift, "?" one without figures."""
    hour = NOW.replace(minute=0)
    return tuple(
        DriftFigure(hour - i * DAY, NOW - i * DAY - age, (one,) if one else ())
        for i, one in enumerate(drifted)
        if one != "?"
    )


@pytest.mark.parametrize(
    ("triggers", "evidence", "outcome", "words"),
    [
        ({"newLabels": {"min": 200}}, {"new_labels": 200}, START, "200 new labels since v7, of 200"),
        ({"newLabels": {"min": 200}}, {"new_labels": 199}, WAIT, "199 new labels since v7"),
        ({"newLabels": {"min": 200}}, {"new_labels": None}, UNKNOWN, "could not be counted"),
        (QUALITY, {"quality": a_figure(0.74)}, START, "accuracy over 7d is 0.7400 (80 votes), under"),
        (QUALITY, {"quality": a_figure(0.75)}, WAIT, "not under the floor 0.75"),
        (QUALITY, {"quality": a_figure(0.2, votes=49)}, UNKNOWN, "49 votes over 7d, of 50 needed"),
        (QUALITY, {"quality": a_figure(None)}, UNKNOWN, "not known"),
        (QUALITY, {"quality": a_figure(0.2, age=timedelta(minutes=31))}, UNKNOWN, "whether the monitor runs"),
        (QUALITY, {"quality": None}, UNKNOWN, "no figures of v3 over 7d"),
        (QUALITY, {"champion": None}, UNKNOWN, "no version serves"),
        (DRIFT, {"drift": drift("length", "words")}, START, "2 windows of 24h on end, now in length"),
        (DRIFT, {"drift": drift("length", "")}, WAIT, "No drift in the 24h up to 2026-11-21 12:00"),
        (DRIFT, {"drift": drift("", "?")}, WAIT, "No drift"),
        (DRIFT, {"drift": drift("length", "?")}, UNKNOWN, "no figures of v3 for the 24h up to 2026-11-21 12:00"),
        (DRIFT, {"drift": drift("length", "words", age=timedelta(hours=1))}, UNKNOWN, "whether the monitor runs"),
        (DRIFT, {"drift": ()}, UNKNOWN, "no figures"),
        (DRIFT, {"drift": drift("length", "words"), "champion": None}, UNKNOWN, "no version serves"),
        (NIGHTLY, {}, START, "0 12 * * * (Etc/UTC): 2026-11-22 12:00 UTC"),
        ({"schedule": {"cron": "0 11 * * *"}}, {}, WAIT, "names no time now"),
        ({"schedule": {"cron": "0 13 * * *", "timeZone": "Europe/Rome"}}, {}, START, "12:00 UTC"),
        (QUALITY | DRIFT, {"quality": a_figure(0.9), "drift": ()}, UNKNOWN, "Drift is not known"),
        (QUALITY | DRIFT, {"quality": a_figure(0.7), "drift": ()}, START, "under the floor"),
    ],
)  # fmt: skip
def test_a_trigger_fires_on_what_is_known_and_says_why(
    triggers: dict[str, Any], evidence: dict[str, Any], outcome: RetrainOutcome, words: str
) -> None:
    decision = decide(a_policy(triggers), replace(EVERYTHING, **evidence), NOW)
    assert decision.outcome is outcome, decision.reason
    assert words in decision.reason
    assert (decision.trigger is not None) == (outcome is START)


def a_start(ago: timedelta, name: str = "weekly-1", *, dry_run: bool = False) -> RetrainStart:
    return RetrainStart(at=NOW - ago, name=name, dry_run=dry_run)


HOURS_AGO = tuple(a_start(timedelta(hours=7 + i), f"weekly-{i}") for i in range(3))
FAILED = RetrainFailure(at=NOW, retry_at=NOW + timedelta(minutes=5), message="Votes are tied.")


@pytest.mark.parametrize(
    ("guards", "evidence", "outcome", "words"),
    [
        ({}, {"in_flight": ("by-hand",)}, WAIT, "by-hand, which is under way"),
        ({}, {"starts": (a_start(timedelta(hours=5)),)}, WAIT, "Waits until 2026-11-22 13:30 UTC: weekly-1"),
        ({}, {"starts": (a_start(timedelta(hours=6)),)}, START, ""),
        ({}, {"starts": HOURS_AGO[:2]}, WAIT, "2 of 2 trainings of a day"),
        ({"maxPerDay": 3}, {"starts": HOURS_AGO[:2]}, START, ""),
        ({"maxPerDay": 3}, {"starts": HOURS_AGO}, WAIT, "3 of 3"),
        ({"minNewLabels": 501}, {}, WAIT, "Waits for 501 new labels to learn from; there are 500."),
        ({"minNewLabels": 0}, {"new_labels": 0}, START, ""),
        ({"minNewLabels": 0}, {"new_labels": None}, START, ""),
        ({"minNewLabels": 1}, {"new_labels": None}, UNKNOWN, "is not known"),
        ({}, {"starts": (a_start(timedelta(hours=1), dry_run=True),)}, START, ""),
    ],
)  # fmt: skip
def test_a_guard_holds_back_what_a_trigger_wants(
    guards: dict[str, Any], evidence: dict[str, Any], outcome: RetrainOutcome, words: str
) -> None:
    policy = a_policy(NIGHTLY, guards=guards)
    decision = decide(policy, replace(EVERYTHING, **evidence), NOW)
    assert decision.outcome is outcome, decision.reason
    assert words in decision.reason
    assert decision.trigger is TriggerName.SCHEDULE, "what wanted to train is said all the same"


def test_a_failure_is_not_tried_again_before_its_time() -> None:
    status = RetrainPolicyStatus(observed_generation=1, last_failure=FAILED)
    policy = a_policy(status=status)
    assert decide(policy, EVERYTHING, NOW).outcome is WAIT
    assert "Votes are tied." in decide(policy, EVERYTHING, NOW).reason
    assert decide(policy, EVERYTHING, FAILED.retry_at).outcome is START


def test_a_suspended_policy_waits_whatever_happens() -> None:
    decision = decide(a_policy(suspend=True), EVERYTHING, NOW)
    assert (decision.outcome, decision.reason) == (WAIT, "The policy is suspended.")


def test_the_figures_that_were_looked_at_are_in_the_decision() -> None:
    evidence = replace(
        EVERYTHING,
        quality=a_figure(0.7123),
        drift=drift("length", ""),
        in_flight=("by-hand",),
        starts=HOURS_AGO,
    )
    found = {one.name: one.value for one in decide(a_policy(QUALITY | DRIFT), evidence, NOW).inputs}
    assert found == {
        "champion": "v3",
        "dataset": "v7",
        "newLabels": "500",
        "accuracy": "0.8000",
        "accuracyLow": "0.7123",
        "votes": "80",
        "drifted": "length",
        "driftedWindows": "1",
        "inFlight": "by-hand",
        "lastTraining": "weekly-0",
        "trainingsToday": "3",
    }
    nothing = {one.name for one in decide(a_policy(QUALITY | DRIFT), Evidence(), NOW).inputs}
    assert nothing == {"trainingsToday"}, "what is not known is absent"


def test_a_time_of_the_schedule_is_answered_once() -> None:
    policy = a_policy(NIGHTLY, guards={"cooldownSeconds": 0})
    decision = decide(policy, EVERYTHING, NOW)
    assert decision.due == NOW.replace(minute=0)
    status = decided(policy, decision, (a_start(timedelta()),), NOW)
    assert status.last_schedule_time == decision.due
    after = policy.model_copy(update={"status": status})
    later = decide(after, replace(EVERYTHING, starts=()), NOW + timedelta(minutes=1))
    assert (later.outcome, later.trigger) == (WAIT, None)


def test_a_time_that_a_guard_let_pass_by_is_left_to_the_next_one() -> None:
    policy = a_policy(NIGHTLY)
    busy = replace(EVERYTHING, in_flight=("by-hand",))
    held = decide(policy, busy, NOW)
    status = decided(policy, held, (), NOW)
    waiting = policy.model_copy(update={"status": status})
    assert decide(waiting, EVERYTHING, NOW + timedelta(minutes=20)).outcome is START
    assert decide(waiting, EVERYTHING, NOW + timedelta(minutes=31)).outcome is WAIT


def test_the_next_name_is_the_same_until_something_was_started() -> None:
    policy = a_policy()
    name = job_name(policy, EVERYTHING)
    assert name == job_name(policy, replace(EVERYTHING, new_labels=900))
    after = replace(EVERYTHING, starts=(a_start(timedelta(hours=7), name),))
    assert job_name(policy, after) != name
    other = policy.model_copy(update={"metadata": policy.metadata.model_copy(update={"uid": "u2"})})
    assert job_name(other, EVERYTHING) != name, "made anew under the same name"


def test_what_was_begun_is_gone_on_with_whatever_is_known_by_then() -> None:
    """After a crash the labels that decided it may be in a dataset already."""
    begun_before = a_start(timedelta(minutes=3), "weekly-abc")
    status = RetrainPolicyStatus(observed_generation=1, starting=begun_before)
    policy = a_policy(status=status)
    nothing_new = replace(EVERYTHING, new_labels=0)
    decision = decide(policy, nothing_new, NOW)
    assert decision.outcome is START
    assert decision.reason == "weekly-abc was decided on at 2026-11-22 12:27 UTC."
    assert job_name(policy, nothing_new) == "weekly-abc"
    busy = decide(policy, replace(nothing_new, in_flight=("by-hand",)), NOW)
    assert busy.outcome is WAIT
    there = replace(nothing_new, starts=(begun_before,))
    assert decide(policy, there, NOW).outcome is WAIT
    assert job_name(policy, there) != "weekly-abc"
    for spec in ({"suspend": True}, {"dryRun": True}):
        changed = a_policy(status=status, **spec)
        assert decide(changed, nothing_new, NOW).outcome is WAIT


def test_the_longest_name_of_a_policy_makes_the_name_of_a_job() -> None:
    policy = a_policy()
    metadata = policy.metadata.model_copy(update={"name": "a" * 53 + "-" + "b" * 9})
    name = job_name(policy.model_copy(update={"metadata": metadata}), EVERYTHING)
    RetrainStart(at=NOW, name=name)
    assert len(name) <= 63
    assert "--" not in name


# Status


def test_the_same_decision_is_not_written_again_at_once() -> None:
    policy = a_policy()
    first = decided(policy, decide(policy, Evidence(), NOW), (), NOW)
    after = policy.model_copy(update={"status": first})
    soon, later = NOW + timedelta(minutes=1), NOW + timedelta(minutes=11)
    assert decided(after, decide(after, Evidence(), soon), (), soon) == first
    assert decided(after, decide(after, Evidence(), later), (), later) != first


def test_what_is_normal_is_never_false() -> None:
    for policy in (a_policy(), a_policy(suspend=True), a_policy(dryRun=True), a_policy(QUALITY)):
        for evidence in (EVERYTHING, Evidence()):
            status = decided(policy, decide(policy, evidence, NOW), (), NOW)
            assert "False" not in {condition.status.value for condition in status.conditions}


def test_suspended_is_said_only_while_it_holds() -> None:
    suspended = a_policy(suspend=True)
    status = decided(suspended, decide(suspended, EVERYTHING, NOW), (), NOW)
    assert find_condition(status.conditions, "Suspended")
    again = a_policy(status=status)
    status = decided(again, decide(again, Evidence(new_labels=1), NOW), (), NOW)
    assert find_condition(status.conditions, "Suspended") is None
    ready = find_condition(status.conditions, "Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("True", Reason.WATCHING)


def test_a_failure_stays_on_the_status_until_it_is_tried_again() -> None:
    policy = a_policy()
    five = timedelta(minutes=5)
    status = failed(
        policy,
        "Tied.",
        reason=Reason.DATASET_NOT_BUILT,
        retry_after=five,
        for_good=True,
        now=NOW,
    )
    ready = find_condition(status.conditions, "Ready")
    assert ready is not None
    assert (ready.status, ready.reason, ready.message) == ("Unknown", "DatasetNotBuilt", "Tied.")
    waiting = policy.model_copy(update={"status": status})
    still = decided(waiting, decide(waiting, EVERYTHING, NOW), (), NOW)
    assert find_condition(still.conditions, "Ready") == ready
    later = NOW + five
    over = decided(waiting, decide(waiting, Evidence(), later), (), later)
    assert over.conditions[0].reason is Reason.WATCHING
    started = decided(waiting, decide(waiting, EVERYTHING, later), (a_start(-five),), later)
    assert started.last_failure is None


def test_another_spec_begins_afresh() -> None:
    status = RetrainPolicyStatus(observed_generation=0, last_failure=FAILED)
    fresh = seen(a_policy(NIGHTLY, status=status), NOW).status
    assert fresh.observed_generation == 1
    assert fresh.last_failure is None
    assert fresh.last_schedule_time == NOW
    known = a_policy(NIGHTLY)
    assert seen(known, NOW) is known


def test_an_invalid_spec_has_a_condition() -> None:
    status = invalid(RetrainPolicyStatus(), 4, "cron: no.", NOW)
    assert status.observed_generation == 4
    assert [(one.type, one.status, one.reason) for one in status.conditions] == [
        ("Ready", "False", "InvalidSpec")
    ]


# Whatever happens

moments = st.integers(min_value=0, max_value=3 * 24 * 60).map(lambda n: NOW + timedelta(minutes=n))
figures = st.none() | st.builds(
    QualityFigure,
    votes=st.integers(0, 300),
    value=st.none() | st.floats(0, 1),
    low=st.none() | st.floats(0, 1),
    taken_at=moments,
)
drifts = st.lists(
    st.builds(
        DriftFigure,
        hour=st.integers(0, 72).map(lambda n: NOW.replace(minute=0) + timedelta(hours=n)),
        taken_at=moments,
        drifted=st.sampled_from([(), ("length",), ("words", "labels")]),
    ),
    max_size=4,
    unique_by=lambda one: one.hour,
).map(tuple)
looks = st.builds(
    Evidence,
    champion=st.sampled_from([None, "v3"]),
    dataset=st.just("v7"),
    new_labels=st.none() | st.integers(0, 400),
    quality=figures,
    drift=drifts,
    in_flight=st.sampled_from([(), (), ("by-hand",)]),
)
policies = st.builds(
    a_policy,
    st.sampled_from(
        [
            QUALITY,
            DRIFT,
            {"newLabels": {"min": 100}},
            {"schedule": {"cron": "*/20 * * * *"}},
            QUALITY | DRIFT | {"newLabels": {"min": 50}},
        ]
    ),
    guards=st.fixed_dictionaries(
        {
            "cooldownSeconds": st.sampled_from([0, 60, 3600]),
            "maxPerDay": st.integers(1, 3),
            "minNewLabels": st.sampled_from([0, 20]),
        }
    ),
    dryRun=st.booleans(),
    suspend=st.sampled_from([False, False, False, True]),
)


class Ends(StrEnum):
    """What becomes of a start."""

    WELL = "well"
    BEFORE_THE_JOB = "killed before the job"
    AFTER_THE_JOB = "killed after the job, before the status"


@dataclass
class World:
    """What is there beside the policy's own status: trainings, and how long they still run."""

    policy: RetrainPolicy
    jobs: list[RetrainStart] = field(default_factory=list)
    running: dict[str, int] = field(default_factory=dict)
    asked: list[RetrainStart] = field(default_factory=list)  # with those that only would have been

    def look(self, look: Evidence, now: datetime, *, lasts: int, ends: Ends) -> None:
        self.running = {name: left - 1 for name, left in self.running.items() if left > 1}
        known = {one.name: one for one in (*self.policy.status.recent_starts, *self.jobs)}
        evidence = replace(
            look,
            in_flight=(*look.in_flight, *self.running),
            starts=tuple(known.values()),
        )
        policy = seen(self.policy, now)
        decision = decide(policy, evidence, now)
        assert decision == decide(policy, evidence, now), "the same evidence, the same decision"
        assert decision.reason
        starts = list(evidence.starts)
        if decision.outcome in {START, WOULD_START}:
            assert not evidence.in_flight, "never two in flight"
            assert not policy.spec.suspend
            assert (decision.outcome is WOULD_START) == policy.spec.dry_run
            name = job_name(policy, evidence)
            assert name not in known
            start = RetrainStart(at=now, name=name, dry_run=policy.spec.dry_run)
            if not policy.spec.dry_run:
                status = begun(policy, decision, name, now)
                self.policy = policy = policy.model_copy(update={"status": status})
                if ends is Ends.BEFORE_THE_JOB:
                    return
                self.jobs.append(start)
                self.running[name] = lasts
            self.asked.append(start)
            if ends is Ends.AFTER_THE_JOB and not policy.spec.dry_run:
                return
            starts.append(start)
        status = decided(policy, decision, starts, now)
        self.policy = policy.model_copy(update={"status": status})


@settings(max_examples=150, deadline=None)
@given(
    policy=policies,
    steps=st.lists(
        st.tuples(st.integers(1, 400), looks, st.integers(0, 3), st.sampled_from(Ends)),
        max_size=20,
    ),
)
def test_never_two_in_flight_never_over_budget_and_a_dry_run_starts_nothing(
    policy: RetrainPolicy, steps: list[tuple[int, Evidence, int, Ends]]
) -> None:
    """Days of looks; trainings take some looks to end, and now and then the control plane is killed."""
    world, now = World(policy), NOW
    guards = policy.spec.guards
    for minutes, look, lasts, ends in steps:
        now += timedelta(minutes=minutes)
        world.look(look, now, lasts=lasts, ends=ends)
        of_the_day = [one for one in world.asked if now - one.at < DAY]
        assert len(of_the_day) <= guards.max_per_day
        RetrainPolicy.model_validate(world.policy.to_document())
    assert len({one.name for one in world.jobs}) == len(world.jobs)
    assert not (policy.spec.dry_run and world.jobs)
    for before, after in pairwise(world.asked):
        # What was decided before a crash may begin later than it was decided, never earlier.
        assert after.at - before.at >= timedelta(seconds=guards.cooldown_seconds)


@settings(max_examples=200, deadline=None)
@example(a_policy(QUALITY), replace(EVERYTHING, quality=a_figure(0.1, votes=300)), NOW)
@example(a_policy(DRIFT), replace(EVERYTHING, drift=drift("length", "words")), NOW)
@given(policy=policies, look=looks, now=moments)
def test_what_is_not_known_never_triggers_anything(
    policy: RetrainPolicy, look: Evidence, now: datetime
) -> None:
    def without(**unknown: Any) -> Decision:
        return decide(policy, replace(look, **unknown), now)

    unknown = without(champion=None, new_labels=None)
    if policy.spec.triggers.schedule is None:
        assert unknown.outcome in {WAIT, UNKNOWN}
        assert unknown.trigger is None
    stale = replace(
        look,
        new_labels=None,
        quality=replace(look.quality, taken_at=now - DAY) if look.quality else None,
        drift=tuple(replace(one, taken_at=now - DAY) for one in look.drift),
    )
    if policy.spec.triggers.schedule is None:
        assert decide(policy, stale, now).trigger is None
