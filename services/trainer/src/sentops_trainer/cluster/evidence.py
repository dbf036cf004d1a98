"""What people's votes say of a canary, written onto its ModelVersion, where the operator reads it."""

import json
from collections.abc import Mapping, Sequence

import structlog

from sentops_core.domain.analysis import compare_votes
from sentops_core.domain.resources import ModelVersion
from sentops_core.domain.resources import ModelVersionPhase as Phase
from sentops_core.kube.agreed import ANALYSIS_ANNOTATION
from sentops_core.store.feedback import Feedback
from sentops_core.store.pool import Connection
from sentops_trainer.cluster.serving import who_serves

log = structlog.get_logger()


def analysis_step(version: ModelVersion) -> int | None:
    """The analysis that this version stands at, if it stands at one."""
    status, steps = version.status, version.spec.rollout.steps
    if status.phase not in {Phase.CANARY, Phase.PAUSED} or status.step_started_at is None:
        return None
    index = status.current_step_index
    return index if index < len(steps) and steps[index].analysis else None


async def missing_evidence(
    connection: Connection, versions: Sequence[ModelVersion]
) -> dict[str, str | None]:
    """By version what its annotation should say and does not; None: evidence of an earlier try has to go."""
    found: dict[str, str | None] = {}
    for version in versions:
        written = version.metadata.annotations.get(ANALYSIS_ANNOTATION)
        wanted = await _evidence(connection, version, versions)
        if wanted is None and written is not None:
            found[version.metadata.name] = None
        elif wanted is not None and wanted != _parsed(written):
            found[version.metadata.name] = json.dumps(wanted, ensure_ascii=False)
    return found


async def _evidence(
    connection: Connection, version: ModelVersion, versions: Sequence[ModelVersion]
) -> Mapping[str, object] | None:
    step, since = analysis_step(version), version.status.step_started_at
    if step is None or since is None:
        return None
    model_name = version.spec.model_name
    champion = who_serves([one for one in versions if one.spec.model_name == model_name]).champion
    if champion is None:
        return None
    votes = {one.model_version: one for one in await Feedback(connection).by_version(since)}

    def pair(name: str) -> tuple[int, int]:
        return (votes[name].right, votes[name].votes) if name in votes else (0, 0)

    result = compare_votes(
        candidate=pair(version.metadata.name),
        champion=pair(champion.metadata.name),
        min_samples=version.spec.rollout.min_samples,
    )
    # The step alone would not do: a later try comes to the same one.
    started = version.status.to_document()["stepStartedAt"]
    return {"stepIndex": step, "stepStartedAt": started, **result.to_document()}


def _parsed(text: str | None) -> object:
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None
