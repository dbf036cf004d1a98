"""Jobs and versions with real artefacts, for tests of the training and version pages."""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sentops_core.artifacts import publish_folder
from sentops_core.domain.conditions import Condition, ConditionStatus
from sentops_core.domain.evaluation import ClassScores, Evaluation
from sentops_core.domain.fast_path import FastPathReport
from sentops_core.domain.promotion import judge
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import (
    ArtifactRef,
    Gate,
    Metadata,
    ModelVersionPhase,
    ModelVersionStatus,
    NameRef,
    TrainerStatus,
    TrainingJobPhase,
    TrainingJobStatus,
)
from sentops_core.store.audit import Audit
from sentops_core.store.examples import ExampleRow, Examples
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.pool import Connection
from sentops_core.store.routing import RoutingTable
from sentops_core.store.training_jobs import TrainingJobs
from sentops_trainer.variants import variant_of
from tests.support.artifacts import LABELS, build_artifact
from tests.support.builders import a_comparison, a_model_version, a_training_job

NOW = datetime.now(UTC).replace(microsecond=0)
TEXTS = [f"Review number {number}: <script>alert({number})</script> fine" for number in range(30)]
HASHES = [hashlib.sha256(text.encode()).hexdigest() for text in TEXTS]
TRUTHS = [LABELS[number % 3] for number in range(30)]


def answers_file(wrong: Sequence[int]) -> bytes:
    """What a model that is wrong on these rows answered."""
    said = [LABELS[(n + 1) % 3] if n in wrong else TRUTHS[n] for n in range(30)]
    columns = {"content_hash": HASHES, "truth": TRUTHS, "answer": said, "score": [0.8] * 30}
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def evaluation_of(wrong: Sequence[int]) -> Evaluation:
    confusion = [[0] * 3 for _ in range(3)]
    for number in range(30):
        confusion[number % 3][(number + 1) % 3 if number in wrong else number % 3] += 1
    share = 1 - len(wrong) / 30
    scores = ClassScores(precision=share, recall=share, f1=share, support=10)
    return Evaluation(
        rows=30,
        accuracy=share,
        macro_f1=share,
        per_class=dict.fromkeys(LABELS, scores),
        confusion=tuple(tuple(row) for row in confusion),
        calibration_error=0.05,
    )


@dataclass(frozen=True)
class Trained:
    """A finished training and its version."""

    job: str
    version: str
    artifact: ArtifactRef


async def add_trained(
    connection: Connection,
    folder: Path,
    number: int,
    *,
    wrong: Sequence[int] = (),
    phase: ModelVersionPhase = ModelVersionPhase.PENDING,
    answers: bool = True,
    card: str = "",
    fast_path: FastPathReport | None = None,
    **spec: object,
) -> Trained:
    """`training-<number>` became `sentiment-v<number>`."""
    evaluation = evaluation_of(wrong)
    history = [{"epoch": at / 2, "loss": 1 - at / 10, "step": at} for at in range(1, 7)]
    history += [
        {"epoch": float(at), "eval_macro_f1": 0.5 + at / 10, "eval_loss": 0.8, "step": at}
        for at in (1, 2, 3)
    ]

    def fill(inside: Path) -> None:
        if answers:
            (inside / "answers.parquet").write_bytes(answers_file(wrong))
        measured = {"training": {"learning_curve": history}}
        (inside / "metrics.json").write_text(json.dumps(measured))
        if card:
            (inside / "card.md").write_text(card)

    built = build_artifact(folder / f"built-{number}", strength=number, before_sealing=fill)
    published = publish_folder(built.folder, (folder / "store").as_uri())
    artifact = ArtifactRef.model_validate(published.model_dump())
    job_name, version_name = f"training-{number}", f"sentiment-v{number}"
    paired = a_comparison(evaluation) if number > 1 else None
    gate = Gate.model_validate({"minSamples": 20, "perClassMin": {"recall": "0.2"}})
    verdict = judge(gate, evaluation, paired, None)
    at = NOW - timedelta(days=10 - number)
    status = TrainingJobStatus(
        phase=TrainingJobPhase.SUCCEEDED,
        attempt=1,
        start_time=at,
        completion_time=at + timedelta(minutes=7),
        evaluation=evaluation,
        fast_path=fast_path,
        gate_result=verdict,
        model_version_ref=NameRef(name=version_name),
    )
    fields: dict[str, object] = {"gate": gate, **spec}
    job = a_training_job(job_name, status, **fields)
    job = job.model_copy(update={"metadata": Metadata(name=job_name, creation_timestamp=at)})
    await TrainingJobs(connection).create(job, created_by="ada")
    promoted = Condition(
        type="Promoted",
        status=ConditionStatus.TRUE,
        reason=Reason.PROMOTED,
        message="It serves.",
        last_transition_time=at,
    )
    served = phase in {ModelVersionPhase.LIVE, ModelVersionPhase.ARCHIVED}
    version = a_model_version(
        number,
        artifact=artifact,
        gate_result=verdict,
        training_job_ref=NameRef(name=job_name),
        status=ModelVersionStatus(
            phase=phase, phase_started_at=at, conditions=(promoted,) if served else ()
        ),
    )
    await ModelVersions(connection).create(version, created_by="ada", training_job=job_name)
    if served:
        await Audit(connection).record("sentops", "model_version.live", version_name)
    if phase is ModelVersionPhase.LIVE:
        variant = variant_of(version, "champion", "http://model:8501", 100)
        await RoutingTable(connection).save(
            "sentiment", [variant], champion=version_name, previous_champion=None
        )
    return Trained(job_name, version_name, artifact)


async def add_texts(connection: Connection) -> None:
    rows = [
        ExampleRow(bytes.fromhex(HASHES[n]), TEXTS[n], TRUTHS[n], "en", None, "upload", None, None)
        for n in range(30)
        if n != 3  # was erased
    ]
    await Examples(connection).keep(rows)


async def add_running(connection: Connection, name: str = "running", **spec: object) -> None:
    """Half done, with a curve of its own."""
    jobs = TrainingJobs(connection)
    progress = None
    row = await jobs.create(a_training_job(name, **spec), created_by="ada")
    await jobs.add_event(name, Reason.CREATED, "Asked for by ada.")
    await jobs.add_event(name, Reason.RUN_STARTED, "Attempt 1 is running.")
    for at in range(1, 11):
        metrics = {"loss": 1 - at / 20, "current_epoch": at / 5, "current_step": at}
        if at >= 5:
            metrics |= {"eval_loss": 0.7, "eval_macro_f1": 0.61, "eval_accuracy": 0.6}
        progress = {
            "progressPercentage": at * 5,
            "estimatedRemainingSeconds": 600 - at,
            "metrics": [{"name": key, "value": str(value)} for key, value in metrics.items()],
            "lastUpdatedTime": NOW.isoformat(),
        }
        await jobs.add_progress(name, "x", progress)
    status = TrainingJobStatus(
        phase=TrainingJobPhase.RUNNING,
        attempt=1,
        start_time=NOW - timedelta(minutes=10),
        trainer_status=TrainerStatus.model_validate(progress),
        conditions=(
            Condition(
                type="Trained",
                status=ConditionStatus.UNKNOWN,
                reason=Reason.RUN_STARTED,
                message="Attempt 1 is running.",
                last_transition_time=NOW,
            ),
        ),
    )
    await jobs.save_status(name, status, seen=row.updated_at)
