"""What a policy's status says after a look, a start or a failure; times move only when something else does."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sentops_core.domain.conditions import ConditionStatus, set_condition
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import (
    RetrainDecision,
    RetrainFailure,
    RetrainOutcome,
    RetrainPolicy,
    RetrainPolicyStatus,
    RetrainStart,
)
from sentops_core.domain.resources.retrain_policy import MOST_TRAININGS_PER_DAY
from sentops_core.domain.retrain import DAY, Decision, started_today

_REPEATED = timedelta(
    minutes=10
)  # the same decision is dated anew so often, to show that it is looked at
_LONGEST = 2000


def seen(policy: RetrainPolicy, now: datetime) -> RetrainPolicy:
    """With the status that a look begins with: another spec begins afresh, and times before it are passed over."""
    status, generation = policy.status, policy.metadata.generation
    if status.observed_generation == generation:
        return policy
    fresh = {
        "observed_generation": generation,
        "last_failure": None,
        "starting": None,
        "last_schedule_time": now if policy.spec.triggers.schedule else None,
    }
    return policy.model_copy(update={"status": status.model_copy(update=fresh)})


def begun(
    policy: RetrainPolicy, decision: Decision, name: str, now: datetime
) -> RetrainPolicyStatus:
    """Written before anything is started, so that whoever comes after a crash goes on with it."""
    start = RetrainStart(at=now, name=name, trigger=decision.trigger)
    return policy.status.model_copy(
        update={
            "starting": start,
            "last_decision": _document(decision, now),
            "last_schedule_time": decision.due or policy.status.last_schedule_time,
        }
    )


def decided(
    policy: RetrainPolicy, decision: Decision, starts: Sequence[RetrainStart], now: datetime
) -> RetrainPolicyStatus:
    """`starts` are all that are known, of which the status keeps those that still matter."""
    status = policy.status
    last = _document(decision, now)
    before = status.last_decision
    same = before is not None and before.model_copy(update={"at": now}) == last
    if before is not None and same and now - before.at < _REPEATED:
        last = before
    real = [one for one in starts if not one.dry_run]
    newest = max(real, key=lambda one: one.at, default=None)
    schedule = status.last_schedule_time
    if decision.due and decision.outcome in {RetrainOutcome.START, RetrainOutcome.WOULD_START}:
        schedule = decision.due
    changed: dict[str, object] = {
        "last_decision": last,
        "last_training_job": newest.name if newest else status.last_training_job,
        "last_training_time": newest.at if newest else status.last_training_time,
        "last_schedule_time": schedule,
        "starting": None if _is_there(status.starting, starts) else status.starting,
        "last_failure": _unmended(status.last_failure, newest),
        "trainings_today": started_today(real, now),
        "recent_starts": _kept(starts, now),
    }
    return _in_order(policy, status.model_copy(update=changed), now)


def failed(
    policy: RetrainPolicy,
    message: str,
    *,
    reason: Reason,
    retry_after: timedelta,
    for_good: bool,
    now: datetime,
) -> RetrainPolicyStatus:
    """What was decided could not be carried out: given up `for_good`, or gone on with later, never in a hot loop."""
    failure = RetrainFailure(at=now, retry_at=now + retry_after, message=message[:_LONGEST])
    status = policy.status.model_copy(
        update={
            "last_failure": failure,
            "starting": None if for_good else policy.status.starting,
        }
    )
    return _with_ready(policy, status, ConditionStatus.UNKNOWN, reason, message, now)


def invalid(
    policy_status: RetrainPolicyStatus, generation: int, message: str, now: datetime
) -> RetrainPolicyStatus:
    """Nothing is decided until the spec is changed."""
    conditions = set_condition(
        policy_status.conditions,
        "Ready",
        ConditionStatus.FALSE,
        Reason.INVALID_SPEC,
        message,
        now=now,
        observed_generation=generation,
    )
    return policy_status.model_copy(
        update={"observed_generation": generation, "conditions": conditions}
    )


def _document(decision: Decision, now: datetime) -> RetrainDecision:
    return RetrainDecision(
        at=now,
        outcome=decision.outcome,
        trigger=decision.trigger,
        reason=decision.reason[:_LONGEST],
        inputs=decision.inputs,
    )


def _is_there(start: RetrainStart | None, starts: Sequence[RetrainStart]) -> bool:
    return start is not None and any(one.name == start.name for one in starts)


def _unmended(failure: RetrainFailure | None, newest: RetrainStart | None) -> RetrainFailure | None:
    return None if failure and newest and newest.at >= failure.at else failure


def _kept(starts: Sequence[RetrainStart], now: datetime) -> tuple[RetrainStart, ...]:
    """Of the last day, and the last one of each sort for the cooldown and the next name."""
    in_order = sorted(starts, key=lambda one: (one.at, one.name))
    last = {one.dry_run: one for one in in_order}
    kept = [one for one in in_order if now - one.at < DAY or one is last[one.dry_run]]
    return tuple(kept[-2 * MOST_TRAININGS_PER_DAY :])


def _in_order(
    policy: RetrainPolicy, status: RetrainPolicyStatus, now: datetime
) -> RetrainPolicyStatus:
    if policy.spec.suspend:
        message = "Nothing is started while the policy is suspended."
        status = _with_ready(
            policy, status, ConditionStatus.UNKNOWN, Reason.SUSPENDED, message, now
        )
        suspended = set_condition(
            status.conditions,
            "Suspended",
            ConditionStatus.TRUE,
            Reason.SUSPENDED,
            message,
            now=now,
            observed_generation=status.observed_generation,
        )
        return status.model_copy(update={"conditions": suspended})
    others = tuple(one for one in status.conditions if one.type != "Suspended")
    status = status.model_copy(update={"conditions": others})
    failure = status.last_failure
    if failure is not None and now < failure.retry_at:
        return status  # Ready says why
    message = (
        "What would be trained is said, nothing is started."
        if policy.spec.dry_run
        else "Looked at regularly."
    )
    return _with_ready(policy, status, ConditionStatus.TRUE, Reason.WATCHING, message, now)


def _with_ready(
    policy: RetrainPolicy,
    status: RetrainPolicyStatus,
    state: ConditionStatus,
    reason: Reason,
    message: str,
    now: datetime,
) -> RetrainPolicyStatus:
    conditions = set_condition(
        status.conditions,
        "Ready",
        state,
        reason,
        message,
        now=now,
        observed_generation=policy.metadata.generation,
    )
    return status.model_copy(update={"conditions": conditions})
