"""What the loop asks of a substrate: policies, what is under way for a model, and where a status is written."""

from dataclasses import dataclass
from typing import Protocol

from sentops_core.domain.resources import (
    ModelVersion,
    RetrainPolicy,
    RetrainPolicyStatus,
    RetrainStart,
    TrainingJob,
)


@dataclass(frozen=True)
class AuditLine:
    """What a saved status tells the audit log; the policy is the actor and the subject."""

    action: str
    evidence: dict[str, object]


class PolicySubstrate(Protocol):
    async def policies(self) -> list[RetrainPolicy]:
        """Those that can be read; the others get their condition here."""
        ...

    async def open_jobs(self, model_name: str) -> list[TrainingJob]: ...

    async def versions(self, model_name: str) -> list[ModelVersion]: ...

    async def starts(self, policy_name: str) -> list[RetrainStart]:
        """Trainings that this policy asked for and that are still there."""
        ...

    async def save(
        self, policy: RetrainPolicy, status: RetrainPolicyStatus, line: AuditLine | None
    ) -> RetrainPolicy:
        """As it stands then. NotFound when it was deleted meanwhile, Conflict when its spec was changed."""
        ...


def actor_of(policy: RetrainPolicy) -> str:
    return f"policy:{policy.metadata.name}"
