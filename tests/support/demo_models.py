"""Demo data: training jobs in every phase with what they reported, versions with verdicts, who serves."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sentops_core.domain.conditions import Condition, ConditionStatus, set_condition
from sentops_core.domain.evaluation import ClassScores, Evaluation
from sentops_core.domain.fast_path import FastPathReport
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import (
    ArtifactRef,
    BaseModelRef,
    DatasetRef,
    DesiredState,
    GateResult,
    Metadata,
    ModelVersion,
    ModelVersionPhase,
    ModelVersionSpec,
    ModelVersionStatus,
    NameRef,
    Output,
    TrainerStatus,
    TrainingJob,
    TrainingJobPhase,
    TrainingJobSpec,
    TrainingJobStatus,
    Variant,
)
from sentops_core.store.datasets import VersionRow
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.pool import Connection
from sentops_core.store.routing import RoutingTable
from sentops_core.store.training_jobs import TrainingJobs

MODEL = "sentiment"
_TRUE, _FALSE, _UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
_Job, _Version = TrainingJobPhase, ModelVersionPhase


@dataclass(frozen=True)
class Artefact:
    storage_uri: str
    digest: str
    size_bytes: int


@dataclass(frozen=True)
class _History:
    """One version: how it ended, how good it was, and what the gate said."""

    phase: ModelVersionPhase
    macro_f1: float
    verdict: str = "Pass"
    why: str = "macro_f1 is within 0.03 of the champion's."


_STORY = (
    _History(_Version.ARCHIVED, 0.612, why="There is no champion yet; every floor is met."),
    _History(_Version.ARCHIVED, 0.668),
    _History(_Version.ROLLED_BACK, 0.701),
    _History(_Version.QUARANTINED, 0.695),
    _History(_Version.ARCHIVED, 0.655, "Fail", "macro_f1 0.655 is more than 0.03 under 0.701."),
    _History(_Version.ARCHIVED, 0.713),
    _History(_Version.ARCHIVED, 0.742),
    _History(_Version.LIVE, 0.781),
    _History(_Version.CANARY, 0.794),
    _History(
        _Version.PENDING,
        0.787,
        "Inconclusive",
        "On 412 rows the difference of 0.006 may be chance (-0.021 to 0.034).",
    ),
)
# Jobs without a version, newest last; the finished ones of the story come before them.
_OTHER_JOBS = (
    _Job.REJECTED,
    _Job.FAILED,
    _Job.SUSPENDED,
    _Job.EVALUATING,
    _Job.RUNNING,
    _Job.QUEUED,
    _Job.PENDING,
)


@dataclass(frozen=True)
class Models:
    champion: str
    candidate: str
    digests: dict[str, str]
    lived: tuple[tuple[str, datetime], ...]  # versions and since when they answered, oldest first

    @property
    def previous(self) -> str:
        return next(name for name, _ in reversed(self.lived) if name != self.champion)


async def fill_models(
    connection: Connection,
    datasets: Sequence[VersionRow],
    artefacts: Sequence[Artefact],
    store_uri: str,
    *,
    now: datetime,
    count: int,
) -> Models:
    """`count` versions, each of a job of its own, and a job in every other phase.

    `artefacts` are real ones for the champion and the candidate; the others only have names.
    """
    story = (_History(_Version.ARCHIVED, 0.6),) * max(count - len(_STORY), 0) + _STORY[-count:]
    digests: dict[str, str] = {}
    lived: list[tuple[str, datetime]] = []
    for number, told in enumerate(story, start=1):
        at = now - timedelta(days=2 + 4.0 * (len(story) - number))
        job = f"training-{number}"
        dataset = datasets[min(number * len(datasets) // (len(story) + 1), len(datasets) - 1)]
        artefact = _artefact(told, number, artefacts, store_uri)
        gate = _gate(told, number)
        spec = _spec(dataset, store_uri, number)
        status = _finished(_Job.SUCCEEDED, told.macro_f1, gate, at, version=f"{MODEL}-v{number}")
        await _add_job(connection, job, spec, status, dataset.name, at)
        version = _version(told, number, job, artefact, dataset, gate, at)
        await ModelVersions(connection).create(
            version, created_by="anna" if number % 3 else "bruno", training_job=job
        )
        digests[version.metadata.name] = artefact.digest
        if told.phase in {_Version.ARCHIVED, _Version.LIVE} and told.verdict == "Pass":
            lived.append((version.metadata.name, at))
    for number, phase in enumerate(_OTHER_JOBS, start=len(story) + 1):
        at = now - timedelta(hours=30 - 4 * (number - len(story)))
        spec = _spec(datasets[-1], store_uri, number, suspend=phase is _Job.SUSPENDED)
        status = _open_or_failed(phase, number, at, now)
        await _add_job(connection, f"training-{number}", spec, status, datasets[-1].name, at)
    champion, candidate = f"{MODEL}-v{len(story) - 2}", f"{MODEL}-v{len(story) - 1}"
    previous = next(name for name, _ in reversed(lived) if name != champion)
    await RoutingTable(connection).save(
        MODEL,
        [
            Variant(
                name=name,
                url="http://127.0.0.1:8501" + path,
                model_version=version,
                digest=digests[version],
                weight=weight,
            )
            for name, path, version, weight in (
                ("champion", "", champion, 90),
                ("candidate", "/slots/candidate", candidate, 10),
            )
        ],
        champion=champion,
        previous_champion=previous,
    )
    return Models(champion, candidate, digests, tuple(lived))


def _artefact(
    told: _History, number: int, artefacts: Sequence[Artefact], store_uri: str
) -> Artefact:
    real = {_Version.LIVE: 0, _Version.CANARY: 1}.get(told.phase)
    if real is not None and real < len(artefacts):
        return artefacts[real]
    digest = hashlib.sha256(f"version {number}".encode()).hexdigest()
    return Artefact(f"{store_uri}/artifacts/{digest}", f"sha256:{digest}", 118_000_000 + number)


def _spec(
    dataset: VersionRow, store_uri: str, number: int, *, suspend: bool = False
) -> TrainingJobSpec:
    fine_tuned = number % 2 == 0
    hyperparameters = (
        {"learningRate": "5e-5", "epochs": 4, "batchSize": 16} if fine_tuned else {"seed": number}
    )
    return TrainingJobSpec.model_validate(
        {
            "modelName": MODEL,
            "baseModel": BaseModelRef(storage_uri="named://multilingual-small"),
            "dataset": DatasetRef(
                storage_uri=dataset.storage_uri, content_hash=dataset.content_hash
            ),
            "trainer": {
                "method": "FineTune" if fine_tuned else "Linear",
                "hyperparameters": hyperparameters,
            },
            "output": Output(storage_uri=store_uri),
            "suspend": suspend,
        }
    )


def an_evaluation(macro_f1: float, rows: int = 412) -> Evaluation:
    """Scores and confusions that fit each other roughly."""
    labels = ("negative", "neutral", "positive")
    supports = (rows * 3 // 10, rows * 2 // 10, rows - rows * 3 // 10 - rows * 2 // 10)
    shares = (min(macro_f1 + 0.03, 1), max(macro_f1 - 0.12, 0), min(macro_f1 + 0.07, 1))
    confusion = []
    for at, (support, share) in enumerate(zip(supports, shares, strict=True)):
        row = [(support - round(support * share)) // 2] * 3
        row[at] = round(support * share)
        row[(at + 1) % 3] = support - row[at] - row[(at + 2) % 3]
        confusion.append(tuple(row))
    right = sum(row[at] for at, row in enumerate(confusion))
    return Evaluation(
        rows=rows,
        accuracy=right / rows,
        macro_f1=macro_f1,
        per_class={
            label: ClassScores(precision=share, recall=share, f1=share, support=support)
            for label, share, support in zip(labels, shares, supports, strict=True)
        },
        confusion=tuple(confusion),
        calibration_error=0.041,
    )


def _gate(told: _History, number: int) -> GateResult:
    champion = f"{max(told.macro_f1 - 0.013, 0):.3f}" if number > 1 else None
    metric = {"name": "macro_f1", "value": f"{told.macro_f1:.3f}", "champion": champion}
    if champion:
        metric |= {"difference": "0.013", "low": "-0.012", "high": "0.038"}
    return GateResult.model_validate(
        {
            "verdict": told.verdict,
            "reasons": (told.why,),
            "samples": 412,
            "championVersion": f"{MODEL}-v{number - 1}" if champion else None,
            "pValue": "0.21" if champion else None,
            "metrics": (metric,),
        }
    )


def _conditions(*told: tuple[str, ConditionStatus, Reason, str, datetime]) -> tuple[Condition, ...]:
    conditions: tuple[Condition, ...] = ()
    for kind, status, reason, message, at in told:
        conditions = set_condition(conditions, kind, status, reason, message, now=at)
    return conditions


def _version(
    told: _History,
    number: int,
    job: str,
    artefact: Artefact,
    dataset: VersionRow,
    gate: GateResult,
    at: datetime,
) -> ModelVersion:
    up = at + timedelta(minutes=4)
    loaded = (
        ("ArtifactVerified", _TRUE, Reason.GOLDEN_REPRODUCED, "Golden predictions match.", up),
        ("Loaded", _TRUE, Reason.GOLDEN_REPRODUCED, "Loaded beside the champion.", up),
    )
    promoted = ("Promoted", _TRUE, Reason.PROMOTED, "It serves.", up)
    message = "A candidate; promote or approve it to roll it out."
    waits = ("Promoted", _UNKNOWN, Reason.AWAITING_APPROVAL, message, at)
    canary = ("CanaryHealthy", _UNKNOWN, Reason.CANARY_STEP, "10 % of the traffic.", up)
    worse = "Accuracy 0.61 (0.55 to 0.67) is under the champion's 0.74 (0.71 to 0.77)."
    wrong = "Golden prediction 3 is not reproduced: 0.412 instead of 0.871."
    seen = {
        _Version.LIVE: (*loaded, promoted, ("Ready", _TRUE, Reason.SERVING, "It serves.", up)),
        _Version.ARCHIVED: (*loaded, promoted) if gate.verdict == "Pass" else (waits,),
        _Version.ROLLED_BACK: (*loaded, ("Ready", _FALSE, Reason.CANARY_WORSE, worse, up)),
        _Version.QUARANTINED: (("Ready", _FALSE, Reason.ARTIFACT_INVALID, wrong, up),),
        _Version.CANARY: (*loaded, canary),
        _Version.PENDING: (waits,),
    }[told.phase]
    serves = {_Version.LIVE: 90, _Version.CANARY: 10}.get(told.phase, 0)
    wanted = told.phase in {_Version.LIVE, _Version.CANARY, _Version.ROLLED_BACK}
    return ModelVersion(
        metadata=Metadata(name=f"{MODEL}-v{number}", creation_timestamp=at),
        spec=ModelVersionSpec(
            model_name=MODEL,
            version=number,
            artifact=ArtifactRef(
                storage_uri=artefact.storage_uri,
                digest=artefact.digest,
                size_bytes=artefact.size_bytes,
            ),
            training_job_ref=NameRef(name=job),
            dataset_hash=dataset.content_hash,
            gate_result=gate,
            desired_state=DesiredState.CHAMPION if wanted else DesiredState.CANDIDATE,
        ),
        status=ModelVersionStatus(
            phase=told.phase,
            traffic_percent=serves,
            phase_started_at=up,
            served_digest=artefact.digest if serves else None,
            conditions=_conditions(*seen),
        ),
    )


def _finished(
    phase: TrainingJobPhase,
    macro_f1: float,
    gate: GateResult,
    at: datetime,
    *,
    version: str | None = None,
) -> TrainingJobStatus:
    end = at + timedelta(minutes=3)
    trained = ("Trained", _TRUE, Reason.RUN_FINISHED, "Trained on 1,240 rows in 171 s.", end)
    good = gate.verdict == "Pass"
    why = gate.reasons[0]
    passed = ("GatePassed", _TRUE if good else _FALSE, _gate_reason(gate), why, end)
    return TrainingJobStatus.model_validate(
        {
            "phase": phase,
            "attempt": 1,
            "startTime": at + timedelta(seconds=9),
            "completionTime": end,
            "trainerStatus": _progress(100, at, at + timedelta(seconds=9)),
            "evaluation": an_evaluation(macro_f1),
            "fastPath": _fast_path(macro_f1, used=good),
            "gateResult": gate,
            "modelVersionRef": NameRef(name=version) if version else None,
            "conditions": _conditions(trained, passed),
        }
    )


def _fast_path(measured: float, *, used: bool) -> FastPathReport:
    """Of the two, the one that serves has what was measured."""
    lost = 0.001 if used else 0.013
    why = "It is as good as the full model." if used else f"It would cost {lost} of macro-F1."
    return FastPathReport(
        used=used,
        message=why,
        share=0.58,
        macro_f1=measured if used else measured - lost,
        full_macro_f1=measured + lost if used else measured,
        agreement=0.981 if used else 0.94,
    )


def _gate_reason(gate: GateResult) -> Reason:
    return {
        "Pass": Reason.GATE_PASSED,
        "Fail": Reason.GATE_FAILED,
        "Inconclusive": Reason.GATE_INCONCLUSIVE,
    }[gate.verdict]


def _open_or_failed(
    phase: TrainingJobPhase, number: int, at: datetime, now: datetime
) -> TrainingJobStatus:
    if phase is _Job.REJECTED:
        told = _History(_Version.PENDING, 0.571, "Fail", "macro_f1 0.571 is under the floor 0.6.")
        return _finished(phase, 0.571, _gate(told, number), at)
    message = {
        _Job.FAILED: (
            "Failed",
            _TRUE,
            Reason.OUT_OF_MEMORY,
            "Attempt 3 of 3 ran out of memory: lower batchSize or maxLength.",
        ),
        _Job.SUSPENDED: (
            "Suspended",
            _TRUE,
            Reason.SUSPENDED,
            "Suspended by anna; its checkpoint is kept.",
        ),
        _Job.QUEUED: ("Trained", _UNKNOWN, Reason.WAITING_FOR_CAPACITY, "Another training runs."),
        _Job.RUNNING: ("Trained", _UNKNOWN, Reason.RUN_STARTED, "Attempt 1 runs."),
        _Job.EVALUATING: ("Trained", _TRUE, Reason.RUN_FINISHED, "Scoring the held-out rows."),
        _Job.PENDING: ("Trained", _UNKNOWN, Reason.CREATED, "Asked for."),
    }[phase]
    begun = phase in {_Job.FAILED, _Job.SUSPENDED, _Job.RUNNING, _Job.EVALUATING}
    percent = {_Job.RUNNING: 45, _Job.SUSPENDED: 62, _Job.EVALUATING: 100, _Job.FAILED: 20}
    started = now - timedelta(minutes=4) if phase is _Job.RUNNING else at + timedelta(seconds=9)
    return TrainingJobStatus.model_validate(
        {
            "phase": phase,
            "attempt": 3 if phase is _Job.FAILED else int(begun),
            "failed": 3 if phase is _Job.FAILED else 0,
            "startTime": started if begun else None,
            "completionTime": at + timedelta(minutes=9) if phase.final else None,
            "trainerStatus": _progress(percent[phase], at, started) if begun else None,
            "conditions": _conditions((*message, at + timedelta(seconds=9))),
        }
    )


def _progress(percent: int, at: datetime, started: datetime) -> TrainerStatus:
    """As stock transformers reports it: losses fall, scores rise."""
    loss = 0.25 + 0.85 * math.exp(-percent / 35)
    score = 0.78 - 0.4 * math.exp(-percent / 30)
    return TrainerStatus.model_validate(
        {
            "progressPercentage": percent,
            "estimatedRemainingSeconds": round((100 - percent) * 4.4),
            "metrics": [
                {"name": "loss", "value": f"{loss:.4f}"},
                {"name": "eval_loss", "value": f"{loss + 0.06:.4f}"},
                {"name": "eval_macro_f1", "value": f"{score:.4f}"},
                {"name": "epoch", "value": f"{percent / 25:.2f}"},
            ],
            "lastUpdatedTime": started + timedelta(seconds=2 * percent),
        }
    )


async def _add_job(
    connection: Connection,
    name: str,
    spec: TrainingJobSpec,
    status: TrainingJobStatus,
    dataset: str,
    at: datetime,
) -> None:
    jobs = TrainingJobs(connection)
    job = TrainingJob(metadata=Metadata(name=name, creation_timestamp=at), spec=spec, status=status)
    by = ("anna", "bruno", "web:auto-retrain")[int(name.split("-")[1]) % 3]
    await jobs.create(job, created_by=by, dataset_version=dataset)
    await jobs.add_event(name, Reason.CREATED, f"Asked for by {by}.", at=at)
    if status.start_time is None or status.trainer_status is None:
        return
    started = status.start_time
    await jobs.add_event(name, Reason.RUN_STARTED, f"Attempt {status.attempt} runs.", at=started)
    for percent in range(5, (status.trainer_status.progress_percentage or 0) + 1, 5):
        progress = _progress(percent, at, started)
        await jobs.add_event(
            name,
            "Progress",
            f"{percent} % done.",
            progress.to_document(),
            at=progress.last_updated_time,
        )
    for condition in status.conditions:
        await jobs.add_event(
            name, condition.reason, condition.message, at=condition.last_transition_time
        )
