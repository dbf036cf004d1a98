"""A student beside the full model in the artefact folder, if the two together answer as well as the full one alone."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog
import torch
from scipy.special import softmax
from sklearn.model_selection import train_test_split

from sentops_core.domain.artifact import CONFIG, STUDENT, InferenceConfig
from sentops_core.domain.fast_path import FastPath, FastPathMode, FastPathReport, within_loss
from sentops_core.inference import Scored, Scorer
from sentops_trainer.engine.cascade import Both, Threshold, fit_threshold
from sentops_trainer.engine.encoding import in_batches
from sentops_trainer.engine.parity import predictions
from sentops_trainer.engine.student import Student
from sentops_trainer.engine.student_training import Report, train_student
from sentops_trainer.engine.tracing import trace
from sentops_trainer.engine.trained import Trained
from sentops_trainer.evaluation import macro_f1
from sentops_trainer.rows import Rows

_JUDGED_SHARE = 0.2  # of the training rows, where no part of them was left out already
_TEXTS_TIMED, _ROUNDS = 40, 5
_log = structlog.get_logger()


@dataclass(frozen=True)
class Milliseconds:
    """Of one core for a training text, from the text to the answer."""

    student: float
    full: float
    cascade: float


@dataclass(frozen=True)
class FastPathFigures:
    """All that was measured; `milliseconds` only where the cascade was put together."""

    report: FastPathReport
    fitted: Threshold
    milliseconds: Milliseconds | None
    bytes: int
    seconds: float

    def to_document(self) -> dict[str, object]:
        """For metrics.json."""
        return {
            "report": self.report.model_dump(),
            "fitted": asdict(self.fitted) | {"fast_path": self.fitted.fast_path.model_dump()},
            "milliseconds": asdict(self.milliseconds) if self.milliseconds else None,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 1),
        }


@dataclass(frozen=True)
class Serving:
    """What the folder serves now, and its answers for the held-out rows."""

    scorer: Scorer
    scored: list[Scored]
    figures: FastPathFigures | None = None


@dataclass(frozen=True)
class Training:
    trained: Trained
    rows: Rows
    seed: int


def add_fast_path(
    full: Serving, training: Training, holdout: Rows, mode: FastPathMode, report: Report
) -> Serving:
    """Teach a student, fit when it may answer, and keep it in the scorer's folder if the held-out rows allow it."""
    if mode is FastPathMode.OFF:
        return full
    started = time.monotonic()
    student, threshold = _taught(full.scorer.config, training, report)
    if not threshold.allowed and mode is FastPathMode.AUTO:
        figures = _unused(full, holdout, threshold, time.monotonic() - started)
        _log.info("fast_path", used=False, why=figures.report.message)
        return Serving(full.scorer, full.scored, figures)
    report("measuring student and full model together")
    folder = full.scorer.folder
    trace(student, folder / STUDENT)
    _write_config(full.scorer.config.model_copy(update={"fast_path": threshold.fast_path}), folder)
    scorer = Scorer.load(folder, beside=[full.scorer])
    scored = scorer.score(holdout.texts)
    found = compared(full, scored, holdout, mode)
    figures = FastPathFigures(
        report=found,
        fitted=threshold,
        milliseconds=_milliseconds(full.scorer, scorer, training.rows.texts),
        bytes=(folder / STUDENT).stat().st_size,
        seconds=time.monotonic() - started,
    )
    _log.info("fast_path", used=found.used, share=found.share, why=found.message)
    if found.used:
        return Serving(scorer, scored, figures)
    (folder / STUDENT).unlink()
    _write_config(full.scorer.config, folder)
    return Serving(full.scorer, full.scored, figures)


def _taught(
    config: InferenceConfig, training: Training, report: Report
) -> tuple[Student, Threshold]:
    trained, rows = training.trained, training.rows
    judged = _judged(training)
    numbers = trained.calibration_rows[judged]
    student = train_student(
        trained.classifier,
        trained.encoder,
        rows.at(np.setdiff1d(np.arange(len(rows)), numbers)),
        seed=training.seed,
        report=report,
    )
    texts = [rows.texts[number] for number in numbers]
    ids = trained.encoder.encode(texts)
    both = Both(
        student_logits=in_batches(trained.encoder, ids, student, device=torch.device("cpu")),
        full=softmax(
            trained.calibration_logits[judged].astype(np.float64) / config.temperature, axis=1
        ),
        labels=trained.calibration_labels[judged],
    )
    return student, fit_threshold(both)


def _judged(training: Training) -> npt.NDArray[np.int64]:
    """Which of the calibration's rows the student is kept from: all, unless they are most of the training rows."""
    labels = training.trained.calibration_labels
    every = np.arange(len(labels))
    if 2 * len(labels) < len(training.rows):
        return every
    size = max(len(np.unique(labels)), round(_JUDGED_SHARE * len(labels)))
    _, judged = train_test_split(every, test_size=size, random_state=training.seed, stratify=labels)
    return np.sort(judged)


def compared(
    full: Serving, scored: list[Scored], holdout: Rows, mode: FastPathMode
) -> FastPathReport:
    labels = full.scorer.config.labels
    by_full, by_both = predictions(labels, full.scored), predictions(labels, scored)
    full_f1 = macro_f1(holdout.labels, by_full, len(labels))
    both_f1 = macro_f1(holdout.labels, by_both, len(labels))
    share = float(np.mean([answer.path == "fast" for answer in scored]))
    allowed = within_loss(both_f1, full_f1)
    figures = (
        f"the student answers {share:.0%} of the held-out rows; macro-F1 {both_f1:.3f} with it, "
        f"{full_f1:.3f} without"
    )
    if allowed:
        message = f"Used: {figures}."
    elif mode is FastPathMode.FORCED:
        message = f"Used because it is forced, though it costs more than half a point: {figures}."
    else:
        message = f"Not used, because it costs more than half a point: {figures}."
    return FastPathReport(
        used=allowed or mode is FastPathMode.FORCED,
        message=message,
        share=round(share, 6),
        macro_f1=round(both_f1, 6),
        full_macro_f1=round(full_f1, 6),
        agreement=round(float((by_full == by_both).mean()), 6),
    )


def _unused(full: Serving, holdout: Rows, threshold: Threshold, seconds: float) -> FastPathFigures:
    labels = full.scorer.config.labels
    full_f1 = round(macro_f1(holdout.labels, predictions(labels, full.scored), len(labels)), 6)
    report = FastPathReport(
        used=False,
        message=(
            "Not used: on training rows kept for it the student is nowhere sure enough; answering "
            f"{threshold.share:.0%} of them would cost {threshold.expected_loss:.3f} of macro-F1 in expectation."
        ),
        share=0.0,
        macro_f1=full_f1,
        full_macro_f1=full_f1,
        agreement=1.0,
    )
    return FastPathFigures(report, threshold, milliseconds=None, bytes=0, seconds=seconds)


def _write_config(config: InferenceConfig, folder: Path) -> None:
    (folder / CONFIG).write_text(config.model_dump_json(indent=1))


def _milliseconds(full: Scorer, cascade: Scorer, texts: list[str]) -> Milliseconds:
    """Of this thread's CPU, in turns, the best round of each: other work on the machine hardly shows."""
    texts = texts[:_TEXTS_TIMED]
    always = FastPath(temperature=1.0, threshold=1e-9)
    scorers = [cascade.with_fast_path(always), full, cascade]
    best = [float("inf")] * len(scorers)
    for _ in range(_ROUNDS):
        for number, scorer in enumerate(scorers):
            started = time.thread_time()
            scorer.score(texts)
            best[number] = min(best[number], 1000 * (time.thread_time() - started) / len(texts))
    return Milliseconds(*(round(milliseconds, 4) for milliseconds in best))
