"""A real Prometheus for tests, on a free port, ended by pid: started with a configuration, asked with PromQL.

`running_prometheus(config, folder)` is all that most tests need; `scrape_config(web=web.port, ...)` writes the
configuration for programs that listen on 127.0.0.1.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.postgres import a_free_port

_START_SECONDS = 60

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="no prometheus and promtool here (Debian: apt install prometheus)",
)


@dataclass(frozen=True)
class Sample:
    labels: Mapping[str, str]
    value: float


@dataclass
class Prometheus:
    folder: Path
    port: int = field(default_factory=a_free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def config_file(self) -> Path:
        return self.folder / "prometheus.yml"

    def start(self, *options: str) -> "Prometheus":
        command = [
            *("prometheus", f"--config.file={self.config_file}"),
            *(f"--storage.tsdb.path={self.folder / 'data'}", "--storage.tsdb.retention.time=1d"),
            *(f"--web.listen-address=127.0.0.1:{self.port}", "--web.enable-lifecycle"),
            *options,
        ]
        self.process = started(command, self.folder / "prometheus.log")
        wait_until_ready(self.process, f"{self.url}/-/ready", self.folder / "prometheus.log")
        return self

    def stop(self) -> None:
        if self.process is not None:
            end(self.process)

    def reload(self) -> None:
        """Read the configuration and the rules again; AssertionError says what it does not like."""
        answer = httpx.post(f"{self.url}/-/reload", timeout=10, trust_env=False)
        assert answer.is_success, answer.text

    def api(self, path: str, **params: str) -> Any:
        """The `data` of an answer of /api/v1/...; AssertionError with Prometheus' own sentence."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=params, timeout=30, trust_env=False)
        content = answer.json()
        assert content["status"] == "success", f"{content.get('error')}: {params}"
        return content["data"]

    def query(self, expression: str, at: float | None = None) -> list[Sample]:
        """An instant vector or a scalar, now or at a Unix time."""
        moment = {} if at is None else {"time": str(at)}
        data = self.api("query", query=expression, **moment)
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(one["metric"], float(one["value"][1])) for one in data["result"]]

    def query_range(
        self, expression: str, start: float, end: float, step: str = "15s"
    ) -> list[tuple[Mapping[str, str], list[tuple[float, float]]]]:
        """(labels, [(time, value), ...]) per series, as a panel asks."""
        data = self.api("query_range", query=expression, start=str(start), end=str(end), step=step)
        return [
            (one["metric"], [(float(moment), float(value)) for moment, value in one["values"]])
            for one in data["result"]
        ]

    def metric_names(self) -> set[str]:
        return set(self.api("label/__name__/values"))

    def targets(self) -> dict[str, str]:
        """By job: up, down or unknown."""
        return {one["labels"]["job"]: one["health"] for one in self.api("targets")["activeTargets"]}

    def alerts(self) -> dict[str, str]:
        """By alert: pending or firing."""
        return {one["labels"]["alertname"]: one["state"] for one in self.api("alerts")["alerts"]}


def scrape_config(
    *,
    rule_files: Sequence[Path] = (),
    alertmanager: int | None = None,
    every: str = "1s",
    **ports: int,
) -> dict[str, Any]:
    """Prometheus' configuration for programs on ports of 127.0.0.1; job is the program's name, as everywhere."""
    return {
        "global": {"scrape_interval": every, "evaluation_interval": every},
        "rule_files": [str(file) for file in rule_files],
        "alerting": {
            "alertmanagers": [
                {"static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
                for port in ([] if alertmanager is None else [alertmanager])
            ]
        },
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
            for job, port in ports.items()
        ],
    }


@contextmanager
def running_prometheus(
    config: Mapping[str, Any], folder: Path, *options: str
) -> Iterator[Prometheus]:
    folder.mkdir(parents=True, exist_ok=True)
    prometheus = Prometheus(folder)
    prometheus.config_file.write_text(yaml.safe_dump(dict(config)))
    try:
        yield prometheus.start(*options)
    finally:
        prometheus.stop()


# ---- processes, for Alertmanager as well


def started(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            # One processor is enough for a test, and others want theirs.
            env={**os.environ, "GOMAXPROCS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url, timeout=2, trust_env=False).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    end(process)
    raise AssertionError(
        f"{process.args!r} does not start: {log.read_text(errors='replace')[-3000:]}"
    )


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
