"""Training runs as detached processes that outlive this service; a folder per job tells what became of them."""

import asyncio
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
import structlog
from pydantic import BaseModel, ValidationError

from sentops_core import trace_context
from sentops_core.domain.errors import Unavailable
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import TrainerStatus
from sentops_core.domain.run import Run, RunResult, RunSpec, RunState

log = structlog.get_logger()

# What a run may know of our environment: never a token or a database address of ours.
_PASSED_ON = [
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "USER",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "HF_HOME",
    "HF_TOKEN",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "SENTOPS_CACHE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "VIRTUAL_ENV",
]
_PASSED_ON_PREFIXES = ("PIP_", "UV_")
_STOP_PATIENCE_SECONDS = 60.0  # time for a checkpoint before SIGKILL


class _Process(BaseModel):
    """attempt-N.json: where to find the process again. That a pid is still ours, its command line tells."""

    pid: int
    started_at: datetime
    stop_requested_at: datetime | None = None


@dataclass(frozen=True)
class RunFolder:
    """Everything a job leaves on disk while it is trained."""

    path: Path

    def process_file(self, attempt: int) -> Path:
        return self.path / f"attempt-{attempt}.json"

    def spec_file(self, attempt: int) -> Path:
        return self.path / f"spec-{attempt}.json"

    def result_file(self, attempt: int) -> Path:
        return self.path / f"result-{attempt}.json"

    def log_file(self, attempt: int) -> Path:
        return self.path / f"log-{attempt}.txt"

    @property
    def token_file(self) -> Path:
        return self.path / "progress-token"

    @property
    def progress_file(self) -> Path:
        return self.path / "progress.json"

    def attempts(self) -> list[int]:
        return sorted(int(file.stem.split("-")[1]) for file in self.path.glob("attempt-*.json"))


class Processes:
    """Starts, finds and ends training runs below `runs_dir`."""

    def __init__(self, runs_dir: Path, *, progress_url: str, threads: int) -> None:
        self._runs_dir = runs_dir
        self._progress_url = progress_url
        self._threads = threads
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        # Jobs whose newest attempt was seen to have ended: years of them need not be looked at again.
        self._ended: set[str] = set()

    def folder(self, job_name: str) -> RunFolder:
        return RunFolder(self._runs_dir / job_name)

    async def start(self, spec: RunSpec) -> None:
        """Start this attempt; started already is success, and a still running older one refuses."""
        folder = self.folder(spec.training_job)
        if folder.process_file(spec.attempt).exists():
            return
        older = self.observe(spec.training_job)
        if older is not None and older.state is RunState.RUNNING:
            raise Unavailable(f"Attempt {older.attempt} of {spec.training_job} still runs.")
        try:
            await asyncio.to_thread(self._start, folder, spec)
        except OSError as error:
            raise Unavailable(
                f"The run of {spec.training_job} cannot be started in {folder.path}: {error.strerror}."
            ) from error

    def _start(self, folder: RunFolder, spec: RunSpec) -> None:
        self._ended.discard(spec.training_job)
        folder.path.mkdir(parents=True, exist_ok=True)
        if not folder.token_file.exists():
            _write(folder.token_file, secrets.token_urlsafe(32))
        _write(folder.spec_file(spec.attempt), spec.model_dump_json(indent=1))
        folder.progress_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "sentops_trainer.run"]
        command += ["--spec", str(folder.spec_file(spec.attempt)), "--out", str(folder.path)]
        # We may have died between starting it and writing that down.
        pid = _pid_of(folder.spec_file(spec.attempt))
        if pid is None:
            with folder.log_file(spec.attempt).open("ab") as output:
                child = subprocess.Popen(
                    ["nice", "-n", "10", *command],  # people who wait for an answer come first
                    env=self._environment(folder, spec),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            pid = child.pid
            self._children[pid] = child
        process = _Process(pid=pid, started_at=datetime.now(UTC))
        _write(folder.process_file(spec.attempt), process.model_dump_json())
        log.info("run_started", training_job=spec.training_job, attempt=spec.attempt, pid=pid)

    def _environment(self, folder: RunFolder, spec: RunSpec) -> dict[str, str]:
        environment = {
            **passed_on(os.environ),
            "KUBEFLOW_TRAINER_SERVER_URL": f"{self._progress_url}/training-jobs/{spec.training_job}/progress",
            "KUBEFLOW_TRAINER_SERVER_TOKEN": str(folder.token_file),
            "SENTOPS_RUN_THREADS": str(self._threads),
            # Waiting threads sleep: on shared cores spinning ones cost more than they gain.
            "OMP_WAIT_POLICY": "passive",
            "GOMP_SPINCOUNT": "0",
            # OpenBLAS (numpy, scikit-learn) spins whatever is asked; one thread was 20 to 40 times faster here.
            "OPENBLAS_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONUNBUFFERED": "1",
        }
        trace = trace_context.current()
        if trace is not None:  # the run's own log lines are found by ours about its start
            environment["TRACEPARENT"] = trace.traceparent
        return environment

    def observe(self, job_name: str) -> Run | None:
        """The newest attempt of a job as its folder and the process table tell it."""
        folder = self.folder(job_name)
        attempts = folder.attempts()
        if not attempts:
            return None
        attempt = attempts[-1]
        process = _read_process(folder.process_file(attempt))
        if process is None:
            message = f"{folder.process_file(attempt).name} cannot be read."
            return Run(
                attempt=attempt, state=RunState.LOST, reason=Reason.RUN_LOST, message=message
            )
        run = Run(
            attempt=attempt,
            state=RunState.RUNNING,
            started_at=process.started_at,
            reference=str(process.pid),
            progress=self.progress(job_name),
        )
        alive = self._find(process, folder.spec_file(attempt))
        if alive is not None:
            self._kill_when_impatient(alive, process)
            return run
        result = _read_result(folder.result_file(attempt))
        if process.stop_requested_at is not None and (result is None or not result.artifact):
            return run.model_copy(update={"state": RunState.STOPPED, "result": result})
        if result is not None:
            return run.model_copy(update={"state": RunState.FINISHED, "result": result})
        message = f"The process ended without a report; {_last_line(folder.log_file(attempt))}"
        lost = {"state": RunState.LOST, "reason": Reason.RUN_LOST, "message": message[:1000]}
        return run.model_copy(update=lost)

    def active_jobs(self) -> set[str]:
        """Names of the jobs with a run that computes now."""
        active = set()
        for name in set(self.known_jobs()) - self._ended:
            run = self.observe(name)
            if run is not None and run.state is RunState.RUNNING:
                active.add(name)
            elif run is not None:
                self._ended.add(name)
        return active

    def known_jobs(self) -> list[str]:
        """Names of the jobs that left something on disk."""
        if not self._runs_dir.is_dir():
            return []
        return [entry.name for entry in os.scandir(self._runs_dir) if entry.is_dir()]

    def stop(self, job_name: str, attempt: int) -> None:
        """Ask the attempt to write a checkpoint and end; ended already is success."""
        folder = self.folder(job_name)
        process = _read_process(folder.process_file(attempt))
        if process is None:
            return
        alive = self._find(process, folder.spec_file(attempt))
        if alive is None or process.stop_requested_at is not None:
            return
        asked = process.model_copy(update={"stop_requested_at": datetime.now(UTC)})
        _write(folder.process_file(attempt), asked.model_dump_json())
        alive.send_signal(signal.SIGTERM)
        log.info("run_stop_requested", training_job=job_name, attempt=attempt, pid=process.pid)

    def clean_up(self, job_name: str) -> None:
        shutil.rmtree(self.folder(job_name).path, ignore_errors=True)

    def token(self, job_name: str) -> str | None:
        """What this job's runs present when they report progress."""
        file = self.folder(job_name).token_file
        return file.read_text() if file.exists() else None

    def write_progress(self, job_name: str, progress: TrainerStatus) -> None:
        _write(self.folder(job_name).progress_file, progress.model_dump_json())

    def progress(self, job_name: str) -> TrainerStatus | None:
        try:
            content = self.folder(job_name).progress_file.read_bytes()
            return TrainerStatus.model_validate_json(content)
        except (FileNotFoundError, ValidationError):
            return None

    def log_tail(self, job_name: str, max_bytes: int) -> str:
        """The end of the newest attempt's log; empty when there is none."""
        folder = self.folder(job_name)
        attempts = folder.attempts()
        file = folder.log_file(attempts[-1]) if attempts else None
        if file is None or not file.exists():
            return ""
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - max_bytes))
            return opened.read().decode("utf-8", "replace")

    def _find(self, process: _Process, spec_file: Path) -> psutil.Process | None:
        child = self._children.get(process.pid)
        if child is not None and child.poll() is not None:  # reaps it
            del self._children[process.pid]
            return None
        try:
            found = psutil.Process(process.pid)
            return found if _runs(found, spec_file) else None
        except psutil.NoSuchProcess:
            return None

    def _kill_when_impatient(self, alive: psutil.Process, process: _Process) -> None:
        asked = process.stop_requested_at
        if asked is None:
            return
        if (datetime.now(UTC) - asked).total_seconds() > _STOP_PATIENCE_SECONDS:
            log.warning("run_killed", pid=process.pid, reason="did not end after SIGTERM")
            alive.kill()


def passed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of our environment that a run may see."""
    return {
        name: value
        for name, value in environment.items()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }


def _write(file: Path, content: str) -> None:
    """Readable by us alone, and never half: a crash leaves the old content or the new."""
    temporary = file.with_suffix(file.suffix + ".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(descriptor)
    temporary.replace(file)


def _runs(process: psutil.Process, spec_file: Path) -> bool:
    """Whether this is the attempt of that spec: no other process names the file. A zombie names nothing."""
    try:
        return str(spec_file) in process.cmdline()
    except psutil.Error:
        return False


def _pid_of(spec_file: Path) -> int | None:
    return next((one.pid for one in psutil.process_iter() if _runs(one, spec_file)), None)


def _read_process(file: Path) -> _Process | None:
    """None for a file that is missing, or that a power cut left empty."""
    try:
        return _Process.model_validate_json(file.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _read_result(file: Path) -> RunResult | None:
    try:
        return RunResult.model_validate(json.loads(file.read_bytes()))
    except (FileNotFoundError, ValueError):
        return None


def _last_line(file: Path) -> str:
    try:
        lines = file.read_text(errors="replace").strip().splitlines()
    except FileNotFoundError:
        return "it left no log."
    return f"last line of its log: {lines[-1]}" if lines else "its log is empty."
