"""What the version pages show: the list, one version with its evidence, what an action will do and to whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from markupsafe import Markup

from sentops_backoffice.card import render_card
from sentops_backoffice.deps import Parts
from sentops_backoffice.measures import Measures, measures
from sentops_backoffice.verdicts import Check, Holds, checks
from sentops_core.domain.errors import PlatformError
from sentops_core.domain.evaluation import Evaluation
from sentops_core.domain.fast_path import FastPathReport
from sentops_core.domain.resources import (
    DesiredState,
    GateResult,
    ModelVersion,
    Routing,
    Variant,
    Verdict,
)
from sentops_core.domain.resources import ModelVersionPhase as Phase
from sentops_core.domain.spells import Spell
from sentops_core.domain.version_states import in_flight, is_asked_for, rollback_target
from sentops_core.store.audit import Audit, AuditRow
from sentops_core.store.lineage import VersionLineage, version_lineage
from sentops_core.store.model_versions import ModelVersionRow, ModelVersions
from sentops_core.store.pool import Connection, transaction
from sentops_core.store.routing import RoutingTable
from sentops_core.store.serving_history import ServingHistory
from sentops_core.store.training_jobs import TrainingJobRow, TrainingJobs

LISTED = 50
_LINES = 30
_RECENTLY = timedelta(days=1)
_PROMOTABLE = {
    Phase.PENDING,
    Phase.SHADOW,
    Phase.CANARY,
    Phase.PAUSED,
    Phase.ARCHIVED,
    Phase.ROLLED_BACK,
    Phase.QUARANTINED,
}


class VersionAction(StrEnum):
    APPROVE = "approve"
    PROMOTE = "promote"
    ARCHIVE = "archive"
    ROLLBACK = "rollback"


@dataclass(frozen=True)
class VersionLine:
    row: ModelVersionRow
    variant: Variant | None  # what it is routed to, if anything
    champion: bool

    @property
    def version(self) -> ModelVersion:
        return self.row.version

    @property
    def name(self) -> str:
        return self.row.version.metadata.name

    @property
    def gone(self) -> bool:
        """Deleted from the cluster; the row is its history."""
        return self.version.metadata.deletion_timestamp is not None

    @property
    def gate(self) -> GateResult | None:
        return self.version.spec.gate_result


@dataclass(frozen=True)
class VersionPage:
    """`card` and `measures` are None where the artefact could not be read; `trouble` says why."""

    line: VersionLine
    actions: tuple[VersionAction, ...]
    checks: tuple[Check, ...]
    evaluation: Evaluation | None
    fast_path: FastPathReport | None
    measures: Measures | None
    card: Markup | None
    trouble: str
    lineage: VersionLineage
    spells: tuple[Spell, ...]
    news: tuple[AuditRow, ...]


@dataclass(frozen=True)
class Consequences:
    """Of an action: whom people are answered by now and afterwards, and how many texts that concerns."""

    line: VersionLine
    action: VersionAction
    possible: bool
    champion: str | None
    returns_to: str | None
    in_the_way: str | None  # a version that is being rolled out
    answered: int  # by the champion within the last day
    needs_force: bool
    needs_clearing: bool
    doubts: tuple[Check, ...] = ()  # rules of the gate that do not hold


async def version_lines(
    parts: Parts, *, before: int | None = None, limit: int = LISTED
) -> list[VersionLine]:
    """Highest number first."""
    model_name = parts.settings.model_name
    async with transaction(parts.pool) as connection:
        rows = await ModelVersions(connection).page(model_name, before=before, limit=limit)
        routed = await RoutingTable(connection).get(model_name)
    return [_line(row, routed.routing, routed.champion) for row in rows]


async def serving_spells(parts: Parts) -> list[Spell]:
    async with transaction(parts.pool) as connection:
        return await ServingHistory(connection).spells(parts.settings.model_name)


def _line(row: ModelVersionRow, routing: Routing, champion: str | None) -> VersionLine:
    name = row.version.metadata.name
    variant = next((one for one in routing.variants if one.model_version == name), None)
    return VersionLine(row, variant, name == champion)


async def version_line(connection: Connection, name: str) -> VersionLine:
    """NotFound when there is no such version."""
    row = await ModelVersions(connection).get(name)
    routed = await RoutingTable(connection).get(row.version.spec.model_name)
    return _line(row, routed.routing, routed.champion)


async def version_page(parts: Parts, name: str) -> VersionPage:
    async with transaction(parts.pool) as connection:
        line = await version_line(connection, name)
        model_name = line.version.spec.model_name
        job = await TrainingJobs(connection).find(line.row.training_job or "")
        lineage = await version_lineage(connection, name)
        target = await _target(connection, line)
        spells = await ServingHistory(connection).spells(model_name)
        news = await Audit(connection).newest(subject=name, limit=_LINES)
    evaluation, card, trouble = job.job.status.evaluation if job else None, None, ""
    artifact = line.version.spec.artifact
    try:
        card = render_card(await parts.artefacts.card(artifact))
        if evaluation is None or not evaluation.confusion:  # a run in a cluster reports in 4 KiB
            evaluation = (await parts.artefacts.manifest(artifact)).evaluation
    except PlatformError as error:
        trouble = str(error)
    return VersionPage(
        line=line,
        actions=actions_for(line, target),
        checks=tuple(
            checks(job.job.spec.gate if job else None, line.gate, evaluation) if line.gate else ()
        ),
        evaluation=evaluation,
        fast_path=job.job.status.fast_path if job else None,
        measures=measures(evaluation, line.version.spec.labels) if evaluation else None,
        card=card,
        trouble=trouble,
        lineage=lineage,
        spells=tuple(one for one in spells if one.version == name),
        news=tuple(news),
    )


async def _target(connection: Connection, line: VersionLine) -> ModelVersion | None:
    if not line.champion:
        return None
    versions = await ModelVersions(connection).returnable(line.version.spec.model_name)
    return rollback_target(versions, line.name)


def actions_for(line: VersionLine, target: ModelVersion | None) -> tuple[VersionAction, ...]:
    """What the control plane would grant."""
    if line.gone:
        return ()
    version, phase = line.version, line.version.status.phase
    if line.champion:
        return (VersionAction.ROLLBACK,) if target is not None and phase is Phase.LIVE else ()
    found = []
    failed = line.gate is not None and line.gate.verdict is Verdict.FAIL
    dismissed = version.spec.desired_state is DesiredState.ARCHIVED
    waits = phase is Phase.PENDING and not is_asked_for(version)
    if waits and not failed and not dismissed:
        found.append(VersionAction.APPROVE)
    if phase in _PROMOTABLE and not (phase is Phase.PENDING and is_asked_for(version)):
        found.append(VersionAction.PROMOTE)
    if (phase is Phase.PENDING or in_flight(version)) and not dismissed:
        found.append(VersionAction.ARCHIVE)
    return tuple(found)


async def consequences(parts: Parts, name: str, action: VersionAction) -> Consequences:
    async with transaction(parts.pool) as connection:
        line = await version_line(connection, name)
        model_name = line.version.spec.model_name
        versions = ModelVersions(connection)
        champion = (await RoutingTable(connection).get(model_name)).champion
        target = await _target(connection, line)
        others = [one for one in await versions.in_flight(model_name) if one.metadata.name != name]
        job = await TrainingJobs(connection).find(line.row.training_job or "")
        answered = 0
        if champion is not None:
            since = datetime.now(UTC) - _RECENTLY
            answered = await ServingHistory(connection).answered_since(champion, since)
    gate = line.gate
    return Consequences(
        line=line,
        action=action,
        possible=action in actions_for(line, target),
        champion=champion,
        returns_to=target.metadata.name if target else None,
        in_the_way=_first_name(others) if action is VersionAction.ROLLBACK else None,
        answered=answered,
        needs_force=action is VersionAction.PROMOTE
        and gate is not None
        and gate.verdict is not Verdict.PASS,
        needs_clearing=action is VersionAction.PROMOTE
        and line.version.status.phase is Phase.QUARANTINED,
        doubts=_doubts(line, job),
    )


def _doubts(line: VersionLine, job: TrainingJobRow | None) -> tuple[Check, ...]:
    if line.gate is None:
        return ()
    gate, evaluation = (job.job.spec.gate, job.job.status.evaluation) if job else (None, None)
    return tuple(one for one in checks(gate, line.gate, evaluation) if one.holds is not Holds.YES)


def _first_name(versions: Sequence[ModelVersion]) -> str | None:
    return versions[0].metadata.name if versions else None
