"""Whether to train again, decided from what is known; what is not known never triggers anything."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sentops_core.domain.quality_figures import WINDOWS
from sentops_core.domain.resources import (
    DriftTrigger,
    Metric,
    QualityTrigger,
    RetrainOutcome,
    RetrainPolicy,
    RetrainStart,
    ScheduleTrigger,
    TriggerName,
)
from sentops_core.domain.schedules import last_time

POLICY_LABEL = "sentops.dev/retrain-policy"  # on a TrainingJob: the policy that asked for it
FRESH_FOR = timedelta(minutes=30)  # the monitor writes its figures every few seconds
DAY = timedelta(hours=24)


@dataclass(frozen=True)
class QualityFigure:
    """Of the champion, by the trigger's metric and window; None: not known."""

    votes: int
    value: float | None
    low: float | None
    taken_at: datetime


@dataclass(frozen=True)
class DriftFigure:
    """What had drifted at the end of one window; `hour` is the hour it ended in."""

    hour: datetime
    taken_at: datetime
    drifted: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """What is known; None and the absent are not known."""

    champion: str | None = None
    dataset: str | None = None  # the newest version
    new_labels: int | None = None  # agreed on, and in no dataset version yet
    quality: QualityFigure | None = None
    drift: tuple[DriftFigure, ...] = ()
    in_flight: tuple[
        str, ...
    ] = ()  # open trainings of the model, and versions on their way to serve
    starts: tuple[RetrainStart, ...] = ()  # by this policy


@dataclass(frozen=True)
class Decision:
    """`due` is the time of the schedule that a start answers."""

    outcome: RetrainOutcome
    reason: str
    trigger: TriggerName | None = None
    due: datetime | None = None
    inputs: tuple[Metric, ...] = ()


@dataclass(frozen=True)
class _Finding:
    """`fires` is None where it cannot be told."""

    trigger: TriggerName
    fires: bool | None
    why: str
    due: datetime | None = None


def decide(policy: RetrainPolicy, evidence: Evidence, now: datetime) -> Decision:
    """The same evidence gives the same decision."""
    inputs = _inputs(policy, evidence, now)
    if policy.spec.suspend:
        return Decision(RetrainOutcome.WAIT, "The policy is suspended.", inputs=inputs)
    begun = policy.status.starting
    if begun is not None and not policy.spec.dry_run and not _is_there(begun, evidence):
        return _gone_on_with(begun, policy, evidence, now, inputs)
    findings = _findings(policy, evidence, now)
    fired = [finding for finding in findings if finding.fires]
    if not fired:
        unknown = [finding for finding in findings if finding.fires is None]
        outcome = RetrainOutcome.UNKNOWN if unknown else RetrainOutcome.WAIT
        return Decision(outcome, _sentences(unknown or findings), inputs=inputs)
    trigger, why = fired[0].trigger, _sentences(fired)
    due = next((finding.due for finding in fired if finding.due), None)
    if held := _held_back(policy, evidence, now):
        outcome, guard = held
        return Decision(outcome, f"{why} {guard}", trigger, due, inputs)
    outcome = RetrainOutcome.WOULD_START if policy.spec.dry_run else RetrainOutcome.START
    return Decision(outcome, why, trigger, due, inputs)


def counted_starts(policy: RetrainPolicy, evidence: Evidence) -> list[RetrainStart]:
    """Oldest first. What only would have been started holds back nothing but the next of its like."""
    starts = (one for one in evidence.starts if policy.spec.dry_run or not one.dry_run)
    return sorted(starts, key=lambda one: (one.at, one.name))


def started_today(starts: Sequence[RetrainStart], now: datetime) -> int:
    return sum(now - one.at < DAY for one in starts)


def _is_there(begun: RetrainStart, evidence: Evidence) -> bool:
    return any(one.name == begun.name for one in evidence.starts)


def _gone_on_with(
    begun: RetrainStart,
    policy: RetrainPolicy,
    evidence: Evidence,
    now: datetime,
    inputs: tuple[Metric, ...],
) -> Decision:
    """Decided before a crash or an outage: the labels that decided it may be in a dataset by now."""
    why = f"{begun.name} was decided on at {_minute(begun.at)}."
    if held := _not_now(policy, evidence, now):
        return Decision(RetrainOutcome.WAIT, f"{why} {held}", begun.trigger, inputs=inputs)
    return Decision(RetrainOutcome.START, why, begun.trigger, inputs=inputs)


def job_name(policy: RetrainPolicy, evidence: Evidence) -> str:
    """Of the next training: made of the policy and the start before it.

    Whoever tries again, or at the same time, comes to the same name, and only one of them can have it.
    """
    begun = policy.status.starting
    if begun is not None and not policy.spec.dry_run and not _is_there(begun, evidence):
        return begun.name
    before = counted_starts(policy, evidence)
    name, uid = policy.metadata.name, policy.metadata.uid or ""
    tail = hashlib.sha256(f"{uid} {name} {before[-1].name if before else ''}".encode())
    return f"{name[:54].rstrip('-')}-{tail.hexdigest()[:8]}"


# Triggers


def _findings(policy: RetrainPolicy, evidence: Evidence, now: datetime) -> list[_Finding]:
    triggers, found = policy.spec.triggers, []
    if triggers.new_labels is not None:
        found.append(_new_labels(triggers.new_labels.min, evidence))
    if triggers.quality is not None:
        found.append(_quality(triggers.quality, evidence, now))
    if triggers.drift is not None:
        found.append(_drift(triggers.drift, evidence, now))
    if triggers.schedule is not None:
        found.append(_schedule(triggers.schedule, policy, now))
    return found


def _new_labels(least: int, evidence: Evidence) -> _Finding:
    count = evidence.new_labels
    if count is None:
        return _Finding(TriggerName.NEW_LABELS, None, "The new labels could not be counted.")
    why = f"{count} new labels since {evidence.dataset or 'the beginning'}, of {least} wanted."
    return _Finding(TriggerName.NEW_LABELS, count >= least, why)


def _quality(wanted: QualityTrigger, evidence: Evidence, now: datetime) -> _Finding:
    finding = partial(_Finding, TriggerName.QUALITY)
    figure, champion, window = evidence.quality, evidence.champion, wanted.window.value
    if champion is None:
        return finding(None, "Quality is not known: no version serves yet.")
    if figure is None:
        return finding(
            None, f"Quality is not known: there are no figures of {champion} over {window}."
        )
    if now - figure.taken_at > FRESH_FOR:
        return finding(None, f"Quality is not known: {_stale(figure.taken_at)}")
    if figure.votes < wanted.min_votes or figure.low is None:
        return finding(
            None,
            f"Quality is not known: {figure.votes} votes over {window}, of {wanted.min_votes} needed.",
        )
    place = "under" if figure.low < float(wanted.floor) else "not under"
    why = (
        f"The lower end of {champion}'s {wanted.metric.value} over {window} is {figure.low:.4f} "
        f"({figure.votes} votes), {place} the floor {wanted.floor}."
    )
    return finding(figure.low < float(wanted.floor), why)


def _drift(wanted: DriftTrigger, evidence: Evidence, now: datetime) -> _Finding:
    finding = partial(_Finding, TriggerName.DRIFT)
    window = wanted.window.value
    if evidence.champion is None:
        return finding(None, "Drift is not known: no version serves yet.")
    if not evidence.drift:
        return finding(
            None, f"Drift is not known: there are no figures of {evidence.champion} over {window}."
        )
    newest = max(evidence.drift, key=lambda one: one.hour)
    if now - newest.taken_at > FRESH_FOR:
        return finding(None, f"Drift is not known: {_stale(newest.taken_at)}")
    by_hour = {one.hour: one for one in evidence.drift}
    ends = [newest.hour - i * WINDOWS[wanted.window] for i in range(wanted.windows)]
    for end in ends:
        if end in by_hour and not by_hour[end].drifted:
            return finding(False, f"No drift in the {window} up to {_hour(end)}.")
    missing = [end for end in ends if end not in by_hour]
    if missing:
        return finding(
            None,
            f"Drift is not known for all of {wanted.windows} windows: there are no figures of "
            f"{evidence.champion} for the {window} up to {_hour(missing[0])}.",
        )
    features = ", ".join(sorted(set(by_hour[ends[0]].drifted)))
    return finding(
        True, f"Drift in {wanted.windows} windows of {window} on end, now in {features}."
    )


def _schedule(wanted: ScheduleTrigger, policy: RetrainPolicy, now: datetime) -> _Finding:
    deadline = timedelta(seconds=wanted.starting_deadline_seconds)
    known = (policy.metadata.creation_timestamp, policy.status.last_schedule_time, now - deadline)
    due = last_time(wanted, after=max(one for one in known if one is not None), until=now)
    where = f"{wanted.cron} ({wanted.time_zone})"
    if due is None:
        return _Finding(TriggerName.SCHEDULE, False, f"The schedule {where} names no time now.")
    return _Finding(
        TriggerName.SCHEDULE, True, f"It is time by the schedule {where}: {_minute(due)}.", due
    )


# Guards


def _held_back(
    policy: RetrainPolicy, evidence: Evidence, now: datetime
) -> tuple[RetrainOutcome, str] | None:
    guards = policy.spec.guards
    if why := _not_now(policy, evidence, now):
        return _wait(why)
    starts = counted_starts(policy, evidence)
    if starts:
        until = starts[-1].at + timedelta(seconds=guards.cooldown_seconds)
        if now < until:
            return _wait(
                f"Waits until {_minute(until)}: {starts[-1].name} began less than {guards.cooldown_seconds} s before."
            )
    today = started_today(starts, now)
    if today >= guards.max_per_day:
        return _wait(f"Waits: {today} of {guards.max_per_day} trainings of a day were started.")
    if guards.min_new_labels == 0:
        return None
    if evidence.new_labels is None:
        return RetrainOutcome.UNKNOWN, "How many new labels there are is not known."
    if evidence.new_labels < guards.min_new_labels:
        return _wait(
            f"Waits for {guards.min_new_labels} new labels to learn from; there are {evidence.new_labels}."
        )
    return None


def _not_now(policy: RetrainPolicy, evidence: Evidence, now: datetime) -> str | None:
    failure = policy.status.last_failure
    if evidence.in_flight:
        return f"Waits for {evidence.in_flight[0]}, which is under way."
    if failure is not None and now < failure.retry_at:
        return f"Tried, and tried again after {_minute(failure.retry_at)}: {failure.message}"
    return None


def _wait(why: str) -> tuple[RetrainOutcome, str]:
    return RetrainOutcome.WAIT, why


# Words


def _inputs(policy: RetrainPolicy, evidence: Evidence, now: datetime) -> tuple[Metric, ...]:
    """The figures that were looked at; what is not known is absent."""
    spec, found = policy.spec, {}
    found["champion"] = evidence.champion
    found["dataset"] = evidence.dataset
    found["newLabels"] = _number(evidence.new_labels)
    if spec.triggers.quality is not None and (figure := evidence.quality) is not None:
        metric = spec.triggers.quality.metric.value
        found[metric] = _number(figure.value)
        found[f"{metric}Low"] = _number(figure.low)
        found["votes"] = _number(figure.votes)
    if spec.triggers.drift is not None and evidence.drift:
        newest = max(evidence.drift, key=lambda one: one.hour)
        found["drifted"] = ", ".join(sorted(newest.drifted)) or "nothing"
        found["driftedWindows"] = str(sum(bool(one.drifted) for one in evidence.drift))
    found["inFlight"] = ", ".join(evidence.in_flight[:5]) or None
    starts = counted_starts(policy, evidence)
    found["lastTraining"] = starts[-1].name if starts else None
    found["trainingsToday"] = str(started_today(starts, now))
    return tuple(Metric(name=name, value=value) for name, value in found.items() if value)


def _number(value: float | None) -> str | None:
    if value is None:
        return None
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def _sentences(findings: Sequence[_Finding]) -> str:
    return " ".join(finding.why for finding in findings)


def _stale(taken_at: datetime) -> str:
    return f"the newest figures are of {_minute(taken_at)}; see whether the monitor runs."


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _hour(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H}:00 UTC"
