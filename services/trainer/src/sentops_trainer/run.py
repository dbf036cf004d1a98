"""`python -m sentops_trainer.run --spec FILE --out DIR`: one training attempt, in a process of its own.

Stdout carries one line at its end: the RunResult. Everything else, libraries' chatter too, goes to stderr.
"""

import argparse
import logging
import os
import sys
import time
from pathlib import Path

import structlog
from pydantic import ValidationError

from sentops_core import trace_context
from sentops_core.domain.errors import PlatformError
from sentops_core.domain.reasons import Reason
from sentops_core.domain.run import RunExit, RunResult, RunSpec
from sentops_core.telemetry import configure_logging
from sentops_trainer.failures import BadSpec, Cancelled, RunFailure
from sentops_trainer.progress import Progress
from sentops_trainer.ranks import Ranks
from sentops_trainer.report import deliver, first_line
from sentops_trainer.stopping import Stop

_log = structlog.get_logger()


def main(arguments: list[str] | None = None) -> int:
    """The exit code of the attempt, once its result is delivered."""
    options = _options(arguments)
    stop = Stop()
    stop.listen()
    result_stream = _keep_stdout_for_the_result()
    configure_logging("trainer-run")
    for chatty in ("onnx_ir", "onnxscript", "torch.onnx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    started = time.monotonic()
    attempt: int | None = None
    ranks = Ranks()
    try:
        ranks = Ranks.from_environment()
        spec = _read_spec(options.spec)
        attempt = spec.attempt
        structlog.contextvars.bind_contextvars(training_job=spec.training_job, attempt=attempt)
        result = _carry_out(spec, options.out, stop, ranks)
    except BaseException as error:  # noqa: BLE001 - whatever happened, somebody waits for the result
        result = _failure(error, time.monotonic() - started)
    if result is None:
        return int(RunExit.OK)  # the first process reports
    deliver(result, result_stream, folder=options.out, attempt=attempt)
    return int(result.exit)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sentops_trainer.run", description=__doc__)
    parser.add_argument("--spec", type=Path, required=True, help="a RunSpec as JSON")
    parser.add_argument("--out", type=Path, required=True, help="the job's work folder")
    return parser.parse_args(arguments)


def _keep_stdout_for_the_result() -> int:
    """A copy of stdout; from now on what anything prints goes to stderr."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    return kept


def _read_spec(path: Path) -> RunSpec:
    try:
        return RunSpec.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadSpec(f"the spec {path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadSpec(f"the spec is not valid: {place}: {first['msg']}") from error


def _carry_out(spec: RunSpec, folder: Path, stop: Stop, ranks: Ranks) -> RunResult | None:
    folder.mkdir(parents=True, exist_ok=True)
    if ranks.first:
        (folder / f"result-{spec.attempt}.json").unlink(missing_ok=True)
    _set_threads(ranks)
    from sentops_trainer.engine import attempt  # noqa: PLC0415 - torch reads the thread settings at import

    progress = Progress.from_environment() if ranks.first else Progress(None, None)
    return attempt.run(spec, folder, progress, stop, ranks)


def _set_threads(ranks: Ranks) -> None:
    """SENTOPS_RUN_THREADS, by default one per core, shared by the processes of this node.

    Waiting threads sleep, since cores here are shared.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    wanted = os.environ.get("SENTOPS_RUN_THREADS", "")
    if not wanted:
        wanted = str(len(os.sched_getaffinity(0)))
    if not wanted.isdigit() or int(wanted) < 1:
        raise BadSpec(
            f"SENTOPS_RUN_THREADS is {wanted!r}; it must be a number of threads, 1 or more"
        )
    os.environ["OMP_NUM_THREADS"] = str(max(1, int(wanted) // ranks.on_this_node))


def _failure(error: BaseException, seconds: float) -> RunResult:
    match error:
        case RunFailure() | Cancelled():
            exit_code, reason, message = error.exit, error.reason, str(error)
        case PlatformError():
            exit_code, reason, message = RunExit.FAILED, Reason.RUN_FAILED, str(error)
        case MemoryError():
            exit_code, reason, message = (
                RunExit.FAILED,
                Reason.OUT_OF_MEMORY,
                "the machine has too little memory for this training",
            )
        case _:
            exit_code, reason = RunExit.FAILED, Reason.RUN_FAILED
            message = f"{type(error).__name__}: {first_line(error)}"
    if isinstance(error, Cancelled):
        _log.info("run_stopped", message=message)
    elif isinstance(error, RunFailure | PlatformError):
        _log.error("run_failed", reason=reason, message=message)
    else:
        _log.error("run_failed", reason=reason, exc_info=error)
    return RunResult(
        exit=exit_code, reason=reason, message=message[:1000], seconds=round(seconds, 1)
    )


if __name__ == "__main__":
    with trace_context.working_on(trace_context.of_environment()):
        sys.exit(main())
