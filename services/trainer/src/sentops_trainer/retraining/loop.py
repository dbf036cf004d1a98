"""Looks at every policy again and again, and carries out what was decided."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import structlog

from sentops_core.domain.errors import InvalidInput, NotFound, PlatformError
from sentops_core.domain.resources import (
    RetrainDecision,
    RetrainOutcome,
    RetrainPolicy,
    RetrainPolicyStatus,
    RetrainStart,
)
from sentops_core.domain.retrain import Decision, Evidence, decide, job_name
from sentops_core.domain.retrain_status import begun, decided, failed, invalid, seen
from sentops_core.store.pool import Pool, session
from sentops_core.store.retrain_policies import RetrainPolicies
from sentops_trainer.metrics import RetrainFigures
from sentops_trainer.retraining.carrying_out import CarryingOut, NotStarted
from sentops_trainer.retraining.evidence import gather
from sentops_trainer.retraining.substrate import AuditLine, PolicySubstrate
from sentops_trainer.retraining.template import job_spec_to_try

log = structlog.get_logger()

_FAILED = "Failed"


def _now() -> datetime:
    return datetime.now(UTC)


class RetrainLoop:
    """Of several replicas one decides at a time; the others stand by. `pool` is the loop's own."""

    def __init__(
        self,
        pool: Pool,
        substrate: PolicySubstrate,
        carrying_out: CarryingOut,
        figures: RetrainFigures,
        *,
        seconds: float,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._pool = pool
        self._substrate = substrate
        self._carrying_out = carrying_out
        self._figures = figures
        self._seconds = seconds
        self._clock = clock
        self._wanted = asyncio.Event()
        self._trouble = ""

    def wake(self) -> None:
        self._wanted.set()

    async def run(self) -> None:
        while True:
            try:
                await self.round()
                self._trouble = ""
            except PlatformError as error:
                if str(error) != self._trouble:  # an outage is one line
                    log.warning("retrain_round_failed", code=error.code, error=str(error))
                self._trouble = str(error)
            except Exception:
                log.exception("retrain_round_failed")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), self._seconds)
            self._wanted.clear()

    async def round(self) -> None:
        """Every policy, one after the other, so that each sees what the one before it started."""
        async with session(self._pool) as connection:
            if not await RetrainPolicies(connection).take_turn():
                self._figures.decided_at.clear()
                return
            policies = await self._substrate.policies()
            self._figures.keep({policy.metadata.name for policy in policies})
            for policy in policies:
                await self._guarded(policy)

    async def _guarded(self, policy: RetrainPolicy) -> None:
        """One that fails does not hold up the others."""
        name = policy.metadata.name
        try:
            await self._look(policy)
        except NotFound as error:
            log.info("retrain_policy_gone", policy=name, error=str(error))
        except PlatformError as error:
            log.warning("retrain_policy_failed", policy=name, code=error.code, error=str(error))
        except Exception:
            log.exception("retrain_policy_failed", policy=name)

    async def _look(self, found: RetrainPolicy) -> None:
        now = self._clock()
        if why := await self._refused(found):
            status = invalid(found.status, found.metadata.generation, why, now)
            await self._save(found, status, None)
            return
        policy = seen(found, now)
        evidence = await gather(self._pool, self._substrate, policy)
        decision = decide(policy, evidence, now)
        starts, stored = list(evidence.starts), found
        line = _news(found.status.last_decision, decision)
        if decision.outcome is RetrainOutcome.START:
            try:
                stored = policy = await self._begun(policy, decision, evidence, now)
                starts.append(await self._start(policy, decision, now))
            except _Failed as failure:
                self._figures.count(_FAILED, policy.metadata.name, now)
                await self._save(policy, failure.status, failure.line)
                return
        elif decision.outcome is RetrainOutcome.WOULD_START:
            name = job_name(policy, evidence)
            starts.append(RetrainStart(at=now, name=name, trigger=decision.trigger, dry_run=True))
        self._figures.count(decision.outcome.value, policy.metadata.name, now)
        await self._save(stored, decided(policy, decision, starts, now), line)

    async def _refused(self, policy: RetrainPolicy) -> str | None:
        try:
            async with self._carrying_out.open_control_plane() as control_plane:
                spec = job_spec_to_try(policy.spec, self._carrying_out.store_uri)
                control_plane.require_accepted(spec)
        except InvalidInput as error:
            return str(error)
        return None

    async def _begun(
        self, policy: RetrainPolicy, decision: Decision, evidence: Evidence, now: datetime
    ) -> RetrainPolicy:
        """What is about to be started is written down first: whoever comes after a crash goes on with it."""
        name = job_name(policy, evidence)
        if policy.status.starting is not None and policy.status.starting.name == name:
            return policy
        return await self._substrate.save(policy, begun(policy, decision, name, now), None)

    async def _start(
        self, policy: RetrainPolicy, decision: Decision, now: datetime
    ) -> RetrainStart:
        start = policy.status.starting
        assert start is not None  # noqa: S101 - begun sets it
        try:
            await self._carrying_out.start(policy, start)
        except NotStarted as failure:
            status = failed(
                policy,
                str(failure),
                reason=failure.reason,
                retry_after=failure.retry_after,
                for_good=failure.for_good,
                now=now,
            )
            evidence_of_it: dict[str, object] = {
                "trigger": decision.trigger.value if decision.trigger else None,
                "why": str(failure),
            }
            before = policy.status.last_failure
            is_news = before is None or not before.message.startswith(str(failure)[:500])
            line = AuditLine("retrain_policy.failed", evidence_of_it) if is_news else None
            raise _Failed(status, line) from failure
        return start.model_copy(update={"at": now})

    async def _save(
        self, stored: RetrainPolicy, status: RetrainPolicyStatus, line: AuditLine | None
    ) -> None:
        if status != stored.status or line is not None:
            await self._substrate.save(stored, status, line)


class _Failed(Exception):
    def __init__(self, status: RetrainPolicyStatus, line: AuditLine | None) -> None:
        super().__init__(status.last_failure)
        self.status = status
        self.line = line


def _news(before: RetrainDecision | None, decision: Decision) -> AuditLine | None:
    """Told when something was started, or would have been, and when the kind of outcome is another one."""
    told = {RetrainOutcome.START, RetrainOutcome.WOULD_START}
    if before is not None and before.outcome is decision.outcome and decision.outcome not in told:
        return None
    evidence: dict[str, object] = {
        "outcome": decision.outcome.value,
        "trigger": decision.trigger.value if decision.trigger else None,
        "reason": decision.reason,
        "inputs": {one.name: one.value for one in decision.inputs},
    }
    return AuditLine("retrain_policy.decided", evidence)
