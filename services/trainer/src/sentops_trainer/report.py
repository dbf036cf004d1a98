"""Delivering a RunResult: stdout, a file in the work folder, and a pod's termination message."""

import os
from pathlib import Path

import structlog

from sentops_core.domain.evaluation import Evaluation
from sentops_core.domain.run import RunExit, RunResult

MAX_BYTES = 4096  # what Kubernetes keeps of a termination message
_TERMINATION_LOG = Path("/dev/termination-log")
_log = structlog.get_logger()


def deliver(result: RunResult, stream: int, *, folder: Path, attempt: int | None) -> None:
    """Write the result everywhere somebody may look. A stopped run leaves no file: it has no result yet."""
    line = as_line(result)
    if attempt is not None and result.exit is not RunExit.CANCELLED:
        _write_file(line, folder / f"result-{attempt}.json")
    if os.access(_TERMINATION_LOG, os.W_OK) and not _somebody_said_why(result):
        _TERMINATION_LOG.write_bytes(line)
    os.write(stream, line + b"\n")


def _somebody_said_why(result: RunResult) -> bool:
    """Whether another process of this pod failed, for which this one was stopped."""
    return result.exit is RunExit.CANCELLED and _TERMINATION_LOG.stat().st_size > 0


def as_line(result: RunResult) -> bytes:
    """The result as one JSON line of at most 4 KiB: what a gate needs last goes first when it is too long."""
    for shortened in _shorter_and_shorter(result):
        line = shortened.model_dump_json(exclude_none=True).encode()
        if len(line) <= MAX_BYTES:
            return line
    raise AssertionError("even the shortest result is too long")


def first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def _shorter_and_shorter(result: RunResult) -> list[RunResult]:
    forms = [result]

    def then(**changes: object) -> None:
        forms.append(forms[-1].model_copy(update=changes))

    if result.must_pass is not None:
        failed = tuple(text[:24] for text in result.must_pass.failed)
        then(must_pass=result.must_pass.model_copy(update={"failed": failed}))
    if result.paired is not None:
        short = _without_tables(result.paired.champion, keep_classes=False)
        then(paired=result.paired.model_copy(update={"champion": short}))
    if result.evaluation is not None:
        then(evaluation=_without_tables(result.evaluation, keep_classes=True))
    if result.must_pass is not None:
        numbers = tuple(str(number) for number, _ in enumerate(result.must_pass.failed, start=1))
        then(must_pass=result.must_pass.model_copy(update={"failed": numbers}))
    then(message=result.message[:200])
    if result.fast_path is not None:
        said = result.fast_path.message[:80]
        then(fast_path=result.fast_path.model_copy(update={"message": said}))
    if result.evaluation is not None:
        worst = sorted(result.evaluation.per_class.items(), key=lambda item: item[1].recall)
        kept = dict(worst[: len(worst) // 2])  # the gate has a floor for recall
        short = _without_tables(result.evaluation, keep_classes=True)
        then(evaluation=short.model_copy(update={"per_class": kept}))
    return forms


def _without_tables(evaluation: Evaluation, *, keep_classes: bool) -> Evaluation:
    """Without the confusion matrix, which metrics.json of the artefact has, and maybe without the classes."""
    changes: dict[str, object] = {"confusion": ()}
    if not keep_classes:
        changes["per_class"] = {}
    return evaluation.model_copy(update=changes)


def _write_file(line: bytes, path: Path) -> None:
    partial = path.with_name(f".{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(line)
        partial.rename(path)
    except OSError as error:  # a full disk: stdout still carries the result
        _log.error("result_file_not_written", error=str(error))
