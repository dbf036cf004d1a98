"""What people may ask about a version, decided from what is known of it; Conflict says what stands against it."""

from collections.abc import Sequence

from sentops_core.domain.conditions import find_condition
from sentops_core.domain.errors import Conflict, InvalidInput
from sentops_core.domain.resources import DesiredState, ModelVersion, ModelVersionPhase, Verdict
from sentops_core.domain.version_states import in_flight, rollback_target


def require_promotable(
    version: ModelVersion, *, reason: str, force: bool, clear_quarantine: bool
) -> None:
    name, phase = version.metadata.name, version.status.phase
    if (force or clear_quarantine) and not reason:
        raise InvalidInput("Going against the gate or a quarantine needs a reason; send 'reason'.")
    if phase is ModelVersionPhase.LIVE:
        if version.spec.desired_state is DesiredState.ARCHIVED:
            return  # it serves for want of another one; its gate is behind it
        raise Conflict(f"{name} serves already.")
    if phase is ModelVersionPhase.QUARANTINED and not clear_quarantine:
        raise Conflict(
            f"{name} is quarantined ({_why_not_ready(version)}). To try it again send "
            "'clear_quarantine': true with a reason."
        )
    gate = version.spec.gate_result
    if gate is not None and gate.verdict is not Verdict.PASS and not force:
        raise Conflict(
            f"The gate's verdict on {name} is {gate.verdict.value}: {gate.reasons[0]} "
            "To promote it all the same send 'force': true with a reason."
        )


def require_approvable(version: ModelVersion) -> None:
    name = version.metadata.name
    if version.status.phase is not ModelVersionPhase.PENDING:
        phase = version.status.phase.value
        raise Conflict(f"{name} is {phase}; only a waiting candidate can be approved.")
    if version.spec.desired_state is DesiredState.ARCHIVED:
        raise Conflict(f"{name} is to be archived; to roll it out all the same, promote it.")
    gate = version.spec.gate_result
    if gate is not None and gate.verdict is Verdict.FAIL:
        raise Conflict(
            f"{name} failed the gate: {gate.reasons[0]} To serve it all the same, promote it with force."
        )


def require_archivable(version: ModelVersion, champion: str | None) -> None:
    name = version.metadata.name
    if champion == name:
        raise Conflict(f"{name} serves; promote another version or roll it back first.")


def require_live(version: ModelVersion) -> None:
    """Only the champion can be rolled back."""
    if version.status.phase is not ModelVersionPhase.LIVE:
        name, phase = version.metadata.name, version.status.phase.value
        instead = " Archive it to take it back." if in_flight(version) else ""
        raise Conflict(
            f"{name} is {phase}, not Live; only the champion can be rolled back.{instead}"
        )


def version_to_return_to(name: str, versions: Sequence[ModelVersion]) -> ModelVersion | None:
    """Who serves after a rollback of `name`, of this model's versions; None when nothing came before."""
    target = rollback_target(versions, name)
    if target is None:
        return None
    for other in versions:
        # What is on its way to serve would otherwise arrive after the rollback and undo it.
        if in_flight(other):
            raise Conflict(
                f"{other.metadata.name} is being rolled out; wait for it, or archive it first."
            )
    return target


def nothing_to_return_to(name: str) -> Conflict:
    return Conflict(f"No version served before {name}; there is nothing to return to.")


def past_verification(version: ModelVersion) -> bool:
    """In a shadow or a canary: a person's promotion passes over what remains of it."""
    return in_flight(version) and version.status.phase is not ModelVersionPhase.VERIFYING


def _why_not_ready(version: ModelVersion) -> str:
    found = find_condition(version.status.conditions, "Ready")
    return found.message if found else "no reason recorded"
