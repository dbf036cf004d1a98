"""The installed platform, as people use it: with kubectl, and over HTTP through port-forward."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.support import load
from tests.e2e.support.documents import a_training_job, condition, phase
from tests.e2e.support.kubectl import Kubectl, Manifest
from tests.e2e.support.release import CREDENTIALS, MODEL, RELEASE, Release
from tests.e2e.support.scripts import Scripts
from tests.e2e.support.waiting import NeverAgain, until

JOB = "trainingjobs.sentops.dev"
VERSION = "modelversions.sentops.dev"
RETRAIN_POLICY = "retrainpolicies.sentops.dev"
FINAL = {"Succeeded", "Rejected", "Failed"}
_HTTP_SECONDS = 30


@dataclass(frozen=True)
class Platform:
    kubectl: Kubectl
    release: Release
    scripts: Scripts
    base: str
    dataset: Manifest

    # ---- trainings

    def train(self, name: str, **fields: Any) -> None:
        self.kubectl.apply(a_training_job(name, base=self.base, dataset=self.dataset, **fields))

    def job(self, name: str) -> Manifest:
        return self.kubectl.there(JOB, name)

    def finished(self, name: str, *, seconds: float) -> Manifest:
        return until(lambda: self.job(name), lambda job: phase(job) in FINAL, seconds=seconds)

    def succeeded(self, name: str, *, seconds: float = 240) -> Manifest:
        job = self.finished(name, seconds=seconds)
        assert phase(job) == "Succeeded", json.dumps(job.get("status"), indent=1)
        return job

    def running(self, name: str, *, seconds: float = 120) -> Manifest:
        """The job while an attempt of it computes."""

        def look() -> Manifest:
            job = self.job(name)
            if phase(job) in FINAL:
                raise NeverAgain(f"{name} is over already: {job['status']}")
            return job

        return until(look, lambda job: phase(job) == "Running", seconds=seconds, every=0.3)

    def condition_becomes(
        self, name: str, kind: str, wanted: tuple[str, str], *, seconds: float
    ) -> str:
        """Its message, once the condition has this status and reason."""
        found = until(
            lambda: condition(self.job(name), kind),
            lambda one: one[:2] == wanted,
            seconds=seconds,
            every=0.5,
        )
        return found[2]

    def children(self, name: str, kind: str = "jobs") -> list[Manifest]:
        return self.kubectl.list(kind, {"sentops.dev/training-job": name})

    def active_pods(self, name: str) -> list[str]:
        return [
            pod["metadata"]["name"]
            for pod in self.children(name, "pods")
            if pod["status"].get("phase") in {"Pending", "Running"}
        ]

    # ---- retraining

    def decides(
        self, policy: str, outcome: str, *, words: str = "", seconds: float = 60
    ) -> Manifest:
        """The policy's status, once its last decision is this one."""
        status = until(
            lambda: self.kubectl.there(RETRAIN_POLICY, policy).get("status") or {},
            lambda status: (
                (status.get("lastDecision") or {}).get("outcome") == outcome
                and words in status["lastDecision"]["reason"]
            ),
            seconds=seconds,
        )
        return dict(status)

    def correct(self, texts: list[tuple[str, str]]) -> None:
        """Somebody asks for each text and says what it should have been."""
        with self.web() as client:
            for text, label in texts:
                prediction = predict(client, text)["prediction_id"]
                vote = {"prediction_id": prediction, "feedback": label}
                answer = client.post("/api/feedback", json=vote)
                assert answer.status_code == 201, answer.text

    # ---- versions

    def version_of(self, job_name: str, *, seconds: float = 240) -> str:
        """The name of the ModelVersion that came of this training, once it is there."""
        job = self.succeeded(job_name, seconds=seconds)
        return str(job["status"]["modelVersionRef"]["name"])

    def version(self, name: str) -> Manifest:
        return self.kubectl.there(VERSION, name)

    def reaches(self, name: str, wanted: str, *, seconds: float = 180) -> Manifest:
        return until(lambda: self.version(name), lambda one: phase(one) == wanted, seconds=seconds)

    def live(self, name: str, *, seconds: float = 180) -> Manifest:
        """The version once it serves everybody; what is quarantined instead never will."""

        def look() -> Manifest:
            version = self.version(name)
            if phase(version) == "Quarantined":
                raise NeverAgain(f"{name}: {condition(version, 'Ready')[2]}")
            return version

        return until(
            look,
            lambda one: phase(one) == "Live" and condition(one, "Ready")[0] == "True",
            seconds=seconds,
        )

    def champion(self) -> str:
        """Who serves the platform's model now."""
        (name,) = [
            one["metadata"]["name"]
            for one in self.kubectl.list(VERSION)
            if one["spec"]["modelName"] == MODEL and phase(one) == "Live"
        ]
        return str(name)

    def digest(self, version: str) -> str:
        return str(self.version(version)["spec"]["artifact"]["digest"])

    # ---- over HTTP

    def secret(self, key: str) -> str:
        data = self.kubectl.there("secret", CREDENTIALS)["data"]
        return base64.b64decode(data[key]).decode()

    @contextmanager
    def http(self, program: str, port: int, token: str = "") -> Iterator[httpx.Client]:
        headers = {"authorization": f"Bearer {self.secret(token)}"} if token else {}
        with (
            self.kubectl.forward(program, port) as url,
            httpx.Client(base_url=url, headers=headers, timeout=_HTTP_SECONDS) as client,
        ):
            yield client

    @contextmanager
    def web(self) -> Iterator[httpx.Client]:
        with self.http(f"{RELEASE}-web", 8000) as client:
            client.headers["x-client-id"] = "e2e-somebody"
            yield client

    @contextmanager
    def trainer(self) -> Iterator[httpx.Client]:
        with self.http(f"{RELEASE}-trainer", 8502, "trainer-token") as client:
            yield client

    @contextmanager
    def backoffice(self) -> Iterator[httpx.Client]:
        with self.http(f"{RELEASE}-backoffice", 8001, "backoffice-api-token") as client:
            yield client

    def answered_by(self, version: str, *, seconds: float = 60) -> Manifest:
        """A prediction of this version through web, once web has heard of it."""
        with self.web() as client:
            return until(
                lambda: predict(client),
                lambda one: one["model_version"] == version,
                seconds=seconds,
                every=0.5,
            )

    # ---- under load

    @contextmanager
    def load(self, name: str) -> Iterator["Load"]:
        """People ask all the while; afterwards `failed` says how often in vain."""
        self.scripts.start(name, Path(load.__file__).read_text(), f"http://{RELEASE}-web:8000")
        until(
            lambda: self.kubectl.there("job", name).get("status") or {},
            lambda status: status.get("ready"),
            seconds=120,
        )
        time.sleep(5)  # it has asked some times before anything changes
        carried = Load(self, name)
        yield carried
        carried.stop()


@dataclass
class Load:
    platform: Platform
    name: str
    summary: Manifest | None = None

    def stop(self) -> Manifest:
        if self.summary is None:
            self.platform.scripts.execute(self.name, "touch", "/tmp/stop")
            output = self.platform.scripts.finish(self.name, seconds=60)
            self.summary = json.loads(output.strip().splitlines()[-1])
        return self.summary


def predict(client: httpx.Client, text: str = "lovely product") -> Manifest:
    try:
        answer = client.post("/api/predict", json={"text": text})
    except httpx.HTTPError as error:
        raise AssertionError(repr(error)) from error
    assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
    return dict(answer.json())
