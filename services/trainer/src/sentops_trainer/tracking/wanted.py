"""What MLflow should say of a training job, of a model version, and of who serves. Pure: documents in, words out."""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sentops_core.domain.conditions import is_true
from sentops_core.domain.evaluation import Evaluation
from sentops_core.domain.fast_path import FastPathReport
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import (
    GateResult,
    ModelVersion,
    TrainingJob,
    TrainingJobPhase,
    TrainingJobSpec,
)
from sentops_core.store.model_versions import ModelVersionRow
from sentops_core.store.routing import RoutingRow
from sentops_core.store.training_jobs import TrainingEvent, TrainingJobRow
from sentops_trainer.failures import BadSpec
from sentops_trainer.hyperparameters import as_plain, settle
from sentops_trainer.tracking.attempts import Attempt, attempts

JOB_TAG = "sentops.dev/training-job"
UID_TAG = "sentops.dev/uid"
ATTEMPT_TAG = "sentops.dev/attempt"
VERSION_TAG = "sentops.dev/model-version"
DIGEST_TAG = "sentops.dev/digest"
_PHASE_TAG, _REASON_TAG, _MESSAGE_TAG = (
    f"sentops.dev/{name}" for name in ("phase", "reason", "message")
)
_VERDICT_TAG, _REASONS_TAG = "sentops.dev/verdict", "sentops.dev/gate-reasons"

# MLflow takes 6,000 characters of a parameter and 8,000 of a tag (5,000 of a version's, where it is older).
_LONGEST = 5000
_LONGEST_NAME = 250
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_\-. :/]")  # of metrics
_KILLED = {
    Reason.SUSPENDED,
    Reason.RESUMED,
    Reason.EVICTED,
    Reason.CANCELLED,
    Reason.DEADLINE_EXCEEDED,
}


@dataclass(frozen=True)
class Point:
    """One value of a metric; `at` in milliseconds."""

    key: str
    value: float
    at: int
    step: int = 0


@dataclass(frozen=True)
class WantedRun:
    """One attempt of a job. `identity` are the tags that it is found by."""

    name: str
    identity: dict[str, str]
    status: str
    start: int
    end: int | None
    params: dict[str, str]
    tags: dict[str, str]
    points: tuple[Point, ...]


@dataclass(frozen=True)
class WantedVersion:
    model: str
    identity: dict[str, str]
    tags: dict[str, str]


def wanted_runs(row: TrainingJobRow, events: Sequence[TrainingEvent]) -> tuple[WantedRun, ...]:
    """Every attempt of the job that ran, oldest first."""
    return tuple(_run(row, one) for one in attempts(row.job, events))


def run_identity(job: TrainingJob, attempt: int) -> dict[str, str]:
    """The tags that the attempt's run is found by; a job made again under its name has another uid."""
    name = job.metadata.name
    return {JOB_TAG: name, UID_TAG: job.metadata.uid or name, ATTEMPT_TAG: str(attempt)}


def version_identity(version: ModelVersion) -> dict[str, str]:
    return {VERSION_TAG: version.metadata.name, DIGEST_TAG: version.spec.artifact.digest}


def run_of_version(row: ModelVersionRow) -> WantedRun:
    """Of a version that no training job of ours made: MLflow shows files and numbers of runs only."""
    version, spec = row.version, row.version.spec
    made = _milliseconds(version.metadata.creation_timestamp or row.updated_at)
    return WantedRun(
        name=version.metadata.name,
        identity=version_identity(row.version),
        status="FINISHED",
        start=made,
        end=made,
        params=_fitting({"dataset_hash": spec.dataset_hash, "labels": ", ".join(spec.labels)}),
        tags=_fitting({"mlflow.user": row.created_by} | _gate_tags(spec.gate_result)),
        points=tuple(_gate_points(spec.gate_result, made)),
    )


def wanted_version(row: ModelVersionRow) -> WantedVersion:
    spec, status = row.version.spec, row.version.status
    tags = {
        _PHASE_TAG: status.phase.value,
        "sentops.dev/dataset-hash": spec.dataset_hash,
        "sentops.dev/storage-uri": spec.artifact.storage_uri,
        **_gate_tags(spec.gate_result),
    }
    return WantedVersion(spec.model_name, version_identity(row.version), _fitting(tags))


def wanted_aliases(row: RoutingRow) -> dict[str, str]:
    """Names of our versions by alias; an alias that nobody has is absent."""
    candidates = [one.model_version for one in row.routing.variants if one.name == "candidate"]
    champion = {} if row.champion is None else {"champion": row.champion}
    return champion | ({"candidate": candidates[0]} if candidates else {})


def fingerprint(*wanted: WantedRun | WantedVersion | Mapping[str, str]) -> str:
    """The same for the same words, whenever they are made."""
    words = [dict(one) if isinstance(one, Mapping) else asdict(one) for one in wanted]
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()


def _run(row: TrainingJobRow, attempt: Attempt) -> WantedRun:
    job, status = row.job, row.job.status
    newest = attempt.number == status.attempt
    measured = newest and is_true(status.conditions, "Trained")
    end = status.completion_time if newest and status.phase.final else attempt.ended_at
    state = _status(row, attempt)
    tags = {
        "mlflow.user": row.created_by,
        _REASON_TAG: attempt.reason,
        _MESSAGE_TAG: attempt.message,
    }
    if newest:
        tags |= {_PHASE_TAG: status.phase.value} | _failure(row)
    if measured:
        tags |= _gate_tags(status.gate_result)
    if measured and status.model_version_ref is not None:
        tags[VERSION_TAG] = status.model_version_ref.name
    points = list(_progress_points(attempt))
    if measured and status.evaluation is not None:
        at = _milliseconds(attempt.ended_at or attempt.started_at)
        points += [
            *_evaluation_points(status.evaluation, at),
            *_fast_path_points(status.fast_path, at),
            *_gate_points(status.gate_result, at),
        ]
    return WantedRun(
        name=f"{job.metadata.name}-{attempt.number}",
        identity=run_identity(job, attempt.number),
        status=state,
        start=_milliseconds(attempt.started_at),
        end=None if state == "RUNNING" or end is None else _milliseconds(end),
        params=_fitting(_params(job.spec, row.dataset_version)),
        tags=_fitting(tags),
        points=tuple(points),
    )


def _status(row: TrainingJobRow, attempt: Attempt) -> str:
    """In MLflow's words."""
    status = row.job.status
    if attempt.number == status.attempt:
        if status.phase in {TrainingJobPhase.SUCCEEDED, TrainingJobPhase.REJECTED}:
            return "FINISHED"
        if not status.phase.final and attempt.reason in {"", Reason.RUN_FINISHED}:
            return "RUNNING"  # what was trained is still being judged
    failed = [one.reason for one in status.conditions if one.type == "Failed"]
    reason = failed[0] if failed and attempt.number == status.attempt else attempt.reason
    if reason in _KILLED:
        return "KILLED"
    return "FINISHED" if reason == Reason.RUN_FINISHED else "FAILED"


def _failure(row: TrainingJobRow) -> dict[str, str]:
    failed = [one for one in row.job.status.conditions if one.type == "Failed"]
    return {_REASON_TAG: failed[0].reason, _MESSAGE_TAG: failed[0].message} if failed else {}


def _params(spec: TrainingJobSpec, dataset: str | None) -> dict[str, str]:
    trainer = spec.trainer
    try:
        settings = as_plain(settle(trainer.method, trainer.hyperparameters))
    except BadSpec:
        settings = trainer.hyperparameters.model_dump(exclude_none=True)
    if trainer.hyperparameters.batch_size is None:
        # The run makes it fit its rows; the model's card says what it was.
        settings.pop("batch_size", None)
    return {
        "method": trainer.method.value,
        "base": spec.base_model.storage_uri,
        "dataset": dataset or "",
        "dataset_hash": spec.dataset.content_hash,
        "labels": ", ".join(spec.dataset.labels),
        "num_nodes": str(trainer.num_nodes),
        **{name: str(value) for name, value in settings.items()},
    }


def _gate_tags(result: GateResult | None) -> dict[str, str]:
    if result is None:
        return {}
    return {_VERDICT_TAG: result.verdict.value, _REASONS_TAG: " ".join(result.reasons)}


def _progress_points(attempt: Attempt) -> Iterator[Point]:
    """Their steps are seconds: of a long history only every so many-th point is kept, so that numbers would move."""
    for event in attempt.progress:
        told, at = event.progress or {}, _milliseconds(event.at)
        step = max(0, int((event.at - attempt.started_at).total_seconds()))
        named = {one.get("name"): one.get("value") for one in told.get("metrics") or ()}
        named["progress"] = told.get("progressPercentage")
        yield from _points({f"training.{name}": value for name, value in named.items()}, at, step)


def _evaluation_points(evaluation: Evaluation, at: int) -> Iterator[Point]:
    values: dict[str, object] = {
        "accuracy": evaluation.accuracy,
        "macro_f1": evaluation.macro_f1,
        "calibration_error": evaluation.calibration_error,
        "holdout_rows": evaluation.rows,
    }
    for label, scores in evaluation.per_class.items():
        for name, value in scores.model_dump().items():
            values[f"{name}.{label}"] = value
    yield from _points(values, at)


def _fast_path_points(report: FastPathReport | None, at: int) -> Iterator[Point]:
    if report is None:
        return
    values: dict[str, object] = report.model_dump(exclude={"used", "message"})
    values["used"] = int(report.used)
    yield from _points({f"fast_path.{name}": value for name, value in values.items()}, at)


def _gate_points(result: GateResult | None, at: int) -> Iterator[Point]:
    if result is None:
        return
    values: dict[str, object] = {"gate.samples": result.samples, "gate.p_value": result.p_value}
    for metric in result.metrics:
        for name, value in metric.model_dump(exclude={"name"}).items():
            values[f"gate.{metric.name}" if name == "value" else f"gate.{metric.name}.{name}"] = (
                value
            )
    yield from _points(values, at)


def _points(values: Mapping[str, object], at: int, step: int = 0) -> Iterator[Point]:
    """What is no finite number is absent."""
    for name, value in values.items():
        try:
            number = float(str(value))
        except ValueError:
            continue
        if math.isfinite(number):
            key = _NOT_IN_NAMES.sub("_", name)[:_LONGEST_NAME]
            yield Point(key, number, at, step)


def _fitting(texts: Mapping[str, str]) -> dict[str, str]:
    """Without what is empty, and cut where MLflow would cut or refuse."""
    return {
        key: text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
        for key, text in texts.items()
        if text
    }


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
