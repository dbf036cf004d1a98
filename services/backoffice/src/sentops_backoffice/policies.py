"""What the pages of retraining show: the policies, and one with its decisions and trainings."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sentops_backoffice.deps import Parts
from sentops_backoffice.operations import put_policy
from sentops_backoffice.sentences import said
from sentops_core.domain.conditions import Condition
from sentops_core.domain.errors import NotFound
from sentops_core.domain.resources import Metric, RetrainPolicy, RetrainPolicySpec
from sentops_core.domain.schedules import times_after
from sentops_core.store.audit import Audit, AuditFilter, AuditRow
from sentops_core.store.policy_trainings import PolicyTraining, trainings_of_policy
from sentops_core.store.pool import Connection, transaction
from sentops_core.store.retrain_policies import RetrainPolicies, RetrainPolicyRow

_DECIDED, _FAILED = "retrain_policy.decided", "retrain_policy.failed"
_LINES = 50


class PolicyAction(StrEnum):
    SUSPEND = "suspend"
    RESUME = "resume"
    GO_LIVE = "go-live"  # from now on it starts what it says


class Mode(StrEnum):
    """What a policy does when something triggers it."""

    SUSPENDED = "suspended"
    DRY_RUN = "dry_run"
    REAL = "real"


@dataclass(frozen=True)
class PolicyLine:
    row: RetrainPolicyRow

    @property
    def policy(self) -> RetrainPolicy:
        return self.row.policy

    @property
    def mode(self) -> Mode:
        spec = self.policy.spec
        if spec.suspend:
            return Mode.SUSPENDED
        return Mode.DRY_RUN if spec.dry_run else Mode.REAL

    @property
    def of_a_cluster(self) -> bool:
        """There it is a custom resource, which is changed with kubectl."""
        return self.policy.metadata.namespace is not None

    @property
    def trouble(self) -> Condition | None:
        """Why it cannot do its work; None when nothing is known to be wrong."""
        ready = next((one for one in self.policy.status.conditions if one.type == "Ready"), None)
        wrong = ready is not None and ready.reason not in {"Watching", "Suspended"}
        return ready if wrong else None


@dataclass(frozen=True)
class Told:
    """A decision as it was written down; `failed`: it could not be carried out, for this reason."""

    id: int
    at: datetime
    outcome: str
    trigger: str
    reason: str
    inputs: tuple[Metric, ...]
    failed: bool

    @classmethod
    def of(cls, line: AuditRow) -> "Told":
        said = line.evidence
        inputs = said.get("inputs")
        return cls(
            id=line.id,
            at=line.at,
            outcome=str(said.get("outcome") or ""),
            trigger=str(said.get("trigger") or ""),
            reason=str(said.get("reason") or said.get("why") or ""),
            inputs=tuple(Metric(name=name, value=str(value)) for name, value in inputs.items())
            if isinstance(inputs, Mapping)
            else (),
            failed=line.action == _FAILED,
        )


@dataclass(frozen=True)
class PolicyPage:
    """`decisions` are those that were written down: what was started, and each change of mind."""

    line: PolicyLine
    decisions: tuple[Told, ...]
    changes: tuple[AuditRow, ...]
    trainings: tuple[PolicyTraining, ...]
    next_time: datetime | None
    now: datetime


async def policy_lines(parts: Parts) -> list[PolicyLine]:
    """By name."""
    async with transaction(parts.pool) as connection:
        return [PolicyLine(row) for row in await RetrainPolicies(connection).all()]


async def policy_line(parts: Parts, name: str) -> PolicyLine:
    async with transaction(parts.pool) as connection:
        return await _line(connection, name)


async def policy_page(parts: Parts, name: str) -> PolicyPage:
    now = datetime.now(UTC)
    async with transaction(parts.pool) as connection:
        line = await _line(connection, name)
        audit = Audit(connection)
        decisions = await decisions_of(connection, name)
        decisions += await audit.newest(AuditFilter(subject=name, action=_FAILED), limit=_LINES)
        changes = [
            one
            for action in ("created", "changed", "deleted")
            for one in await audit.newest(
                AuditFilter(subject=name, action=f"retrain_policy.{action}"), limit=_LINES
            )
        ]
        trainings = await trainings_of_policy(connection, name)
    schedule = line.policy.spec.triggers.schedule
    return PolicyPage(
        line=line,
        decisions=tuple(Told.of(line) for line in _newest(decisions)),
        changes=_newest(changes),
        trainings=tuple(trainings),
        next_time=next(times_after(schedule, now), None) if schedule else None,
        now=now,
    )


def _newest(lines: list[AuditRow]) -> tuple[AuditRow, ...]:
    return tuple(sorted(lines, key=lambda one: (one.at, one.id), reverse=True)[:_LINES])


async def decisions_of(
    connection: Connection, name: str, *, before: int | None = None, limit: int = _LINES
) -> list[AuditRow]:
    """Newest first; `before` is the id of the last one already seen."""
    wanted = AuditFilter(subject=name, action=_DECIDED)
    return await Audit(connection).newest(wanted, before=before, limit=limit)


async def change_policy(parts: Parts, name: str, action: PolicyAction, *, actor: str) -> None:
    """Conflict if somebody else changes it at the same moment."""
    policy = (await policy_line(parts, name)).policy
    spec = changed(policy.spec, action)
    await put_policy(parts, name, spec, generation=policy.metadata.generation, actor=actor)


def changed(spec: RetrainPolicySpec, action: PolicyAction) -> RetrainPolicySpec:
    match action:
        case PolicyAction.SUSPEND:
            return spec.model_copy(update={"suspend": True})
        case PolicyAction.RESUME:
            return spec.model_copy(update={"suspend": False})
        case PolicyAction.GO_LIVE:
            return spec.model_copy(update={"dry_run": False})


async def _line(connection: Connection, name: str) -> PolicyLine:
    row = await RetrainPolicies(connection).find(name)
    if row is None:
        missing = NotFound(f"There is no retraining policy {name}.")
        raise said(missing, "retraining.unknown", name=name)
    return PolicyLine(row)
