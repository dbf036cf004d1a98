"""What the training pages show of jobs: the list, one job with its story, its curve."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sentops_backoffice.artefacts import Artefacts
from sentops_backoffice.deps import Parts
from sentops_backoffice.measures import Measures, measures
from sentops_core.domain.conditions import Condition
from sentops_core.domain.errors import InvalidInput, PlatformError
from sentops_core.domain.learning_curve import (
    CurvePoint,
    curve_of_history,
    curve_of_progress,
    thinned,
)
from sentops_core.domain.resources import (
    Method,
    TrainingJob,
    TrainingJobPhase,
    settled_hyperparameters,
)
from sentops_core.store.datasets import Datasets, VersionRow
from sentops_core.store.model_versions import ModelVersionRow, ModelVersions
from sentops_core.store.pool import transaction
from sentops_core.store.training_jobs import TrainingEvent, TrainingJobRow, TrainingJobs

LISTED = 50
_NEWS = 50
_POINTS = 120
_LOG_CHARACTERS = 20_000
_LOG_SECONDS = 2.0


@dataclass(frozen=True)
class JobLine:
    row: TrainingJobRow
    version: str | None

    @property
    def job(self) -> TrainingJob:
        return self.row.job

    @property
    def gone(self) -> bool:
        """Deleted from the cluster; the row is its history."""
        return self.job.metadata.deletion_timestamp is not None


@dataclass(frozen=True)
class JobPage:
    """`log` is None where it could not be asked for; `log_trouble` says why."""

    line: JobLine
    version: ModelVersionRow | None
    news: tuple[TrainingEvent, ...]
    curve: tuple[CurvePoint, ...]
    strengths: tuple[
        dict[str, float], ...
    ]  # of the quick method: what was tried, and how well it did
    measures: Measures | None
    hyperparameters: dict[str, str]
    log: str | None
    log_trouble: PlatformError | None
    now: datetime

    @property
    def newest(self) -> Condition | None:
        conditions = self.line.job.status.conditions
        return max(conditions, key=lambda one: one.last_transition_time, default=None)

    @property
    def spent(self) -> timedelta | None:
        status = self.line.job.status
        if status.start_time is None:
            return None
        return (status.completion_time or self.now) - status.start_time


def parse_before(before: str) -> tuple[datetime, str] | None:
    """`<moment>,<name>` of the last job already seen."""
    if not before:
        return None
    moment, _, name = before.partition(",")
    try:
        at = datetime.fromisoformat(moment)
    except ValueError as error:
        raise InvalidInput(
            "'before' is what a page of jobs gave as its next one.", saying="no_page"
        ) from error
    return (at if at.tzinfo else at.replace(tzinfo=UTC)), name


def next_of(lines: Sequence[JobLine], limit: int = LISTED) -> str:
    """Give it back as `before`; empty at the end."""
    if len(lines) < limit:
        return ""
    last = lines[-1].job.metadata
    return f"{last.creation_timestamp.isoformat()},{last.name}" if last.creation_timestamp else ""


async def job_lines(parts: Parts, before: str = "", limit: int = LISTED) -> list[JobLine]:
    """The newest first."""
    seen = parse_before(before)
    async with transaction(parts.pool) as connection:
        rows = await TrainingJobs(connection).page(before=seen, limit=limit)
    return [JobLine(row, _version_of(row)) for row in rows]


def _version_of(row: TrainingJobRow) -> str | None:
    reference = row.job.status.model_version_ref
    return reference.name if reference else None


async def newest_datasets(parts: Parts) -> list[VersionRow]:
    async with transaction(parts.pool) as connection:
        return await Datasets(connection).versions(100)


async def job_page(parts: Parts, name: str, *, with_log: bool = True) -> JobPage:
    async with transaction(parts.pool) as connection:
        jobs = TrainingJobs(connection)
        row = await jobs.get(name)
        news = await jobs.news(name, limit=_NEWS)
        posts = [event.progress or {} for event in await jobs.progress(name)]
        version = (await ModelVersions(connection).of_training_jobs([name])).get(name)
    line = JobLine(row, version.version.metadata.name if version else _version_of(row))
    curve, strengths = await _curve(parts.artefacts, posts, version)
    log, trouble = await job_log(parts, line) if with_log else (None, None)
    trainer = row.job.spec.trainer
    return JobPage(
        line=line,
        version=version,
        news=tuple(news),
        curve=tuple(thinned(curve, _POINTS)),
        strengths=strengths,
        measures=await job_measures(parts, row, version),
        hyperparameters=settled_hyperparameters(trainer.method, trainer.hyperparameters),
        log=log,
        log_trouble=trouble,
        now=datetime.now(UTC),
    )


async def job_log(parts: Parts, line: JobLine) -> tuple[str | None, PlatformError | None]:
    """The end of the newest attempt's log."""
    if line.gone:
        return "", None
    path = f"/training-jobs/{line.job.metadata.name}/log"
    try:
        text = await parts.trainer.get_text(
            path, seconds=_LOG_SECONDS, query={"last": _LOG_CHARACTERS}
        )
    except PlatformError as error:
        return None, error
    # Should the first line be cut, it goes; NUL and other control characters are nothing to read.
    text = text.partition("\n")[2] if len(text) >= _LOG_CHARACTERS else text
    return "".join(one for one in text if one in "\n\t" or one.isprintable()), None


async def _curve(
    artefacts: Artefacts, posts: list[dict[str, object]], version: ModelVersionRow | None
) -> tuple[list[CurvePoint], tuple[dict[str, float], ...]]:
    """The run's own record once there is one: it is complete, where posts come every five seconds."""
    told = curve_of_progress(posts)
    if version is None:
        return told, ()
    try:
        training = (await artefacts.metrics(version.version.spec.artifact)).get("training") or {}
        recorded = curve_of_history(training.get("learning_curve") or ())
        strengths = tuple(
            {name: float(one[name]) for name in ("strength", "macro_f1", "loss")}
            for one in training.get("regularisation") or ()
        )
    except (PlatformError, AttributeError, KeyError, TypeError, ValueError):
        return told, ()
    return (recorded if len(recorded) >= len(told) else told), strengths


async def job_measures(
    parts: Parts, row: TrainingJobRow, version: ModelVersionRow | None
) -> Measures | None:
    """What was measured; a run in a cluster reports in 4 KiB, and the artefact has what did not fit."""
    evaluation = row.job.status.evaluation
    if version is not None and (evaluation is None or not evaluation.confusion):
        try:
            manifest = await parts.artefacts.manifest(version.version.spec.artifact)
        except PlatformError:
            pass
        else:
            evaluation = manifest.evaluation
    return measures(evaluation, row.job.spec.dataset.labels) if evaluation else None


def may(row: TrainingJobRow) -> list[str]:
    """What can be asked of the job now."""
    phase = row.job.status.phase
    if phase.final or row.cancel_requested or row.job.metadata.deletion_timestamp is not None:
        return []
    held = row.job.spec.suspend or phase is TrainingJobPhase.SUSPENDED
    return ["resume" if held else "suspend", "cancel"]


def loses_something(row: TrainingJobRow, action: str) -> bool:
    """A suspended fine-tuning goes on from its checkpoint; the quick method begins its pass over the rows anew."""
    quick = row.job.spec.trainer.method is Method.LINEAR
    return action == "cancel" or (action == "suspend" and quick)
