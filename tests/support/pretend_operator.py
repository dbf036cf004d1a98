"""Stands in for the operator where a test is about those who talk to it: real plans, imagined pods.

It reads and writes custom resources in the store of a `KubeServer`; what it imagines are the runs and model servers.
"""

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Self

from sentops_core.domain import plan as training
from sentops_core.domain import rollout
from sentops_core.domain.plan import StartRun, StopRun, TrainingObservation
from sentops_core.domain.resources import (
    AnalysisResult,
    ModelVersion,
    ModelVersionStatus,
    TrainingJob,
)
from sentops_core.domain.run import Run, RunState
from sentops_core.domain.serving import (
    DropCandidate,
    LoadCandidate,
    ReloadChampion,
    ReturnToPrevious,
    ServingObservation,
    Slot,
    SlotState,
    SwitchChampion,
    VersionAction,
)
from sentops_core.domain.version_states import in_flight, recalled, rollback_target, settled
from sentops_core.kube.kinds import MODEL_VERSION, TRAINING_JOB
from tests.support.kube_api import KubeServer


class PretendOperator:
    """`bad_digests` are refused by the imagined model servers."""

    def __init__(self, kube: KubeServer, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace
        self.bad_digests: set[str] = set()
        self.runs: dict[str, Run] = {}
        self._champion, self._candidate = Slot(), Slot()
        self._routed: list[str] = []  # who was champion, the last one last
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            for job in self._jobs():
                self._tend_job(job)
            for version in self.versions():
                self._tend_version(version)
            await asyncio.sleep(0.02)

    def _jobs(self) -> list[TrainingJob]:
        found = self._kube.all(TRAINING_JOB, namespace=self._namespace)
        return [TrainingJob.model_validate(one) for one in found]

    def versions(self) -> list[ModelVersion]:
        """Who serves first, as both substrates do."""
        found = self._kube.all(MODEL_VERSION, namespace=self._namespace)
        versions = [ModelVersion.model_validate(one) for one in found]
        return sorted(versions, key=lambda one: one.metadata.name != self._champion_name)

    @property
    def _champion_name(self) -> str | None:
        return self._routed[-1] if self._routed else None

    def _tend_job(self, job: TrainingJob) -> None:
        name = job.metadata.name
        seen = TrainingObservation(
            run=self.runs.get(name),
            cancel_requested="sentops.dev/cancel" in job.metadata.annotations,
        )
        step = training.plan(job, seen, now=datetime.now(UTC))
        for action in step.actions:
            match action:
                case StartRun(attempt=attempt):
                    self.runs[name] = Run(
                        attempt=attempt, state=RunState.RUNNING, started_at=datetime.now(UTC)
                    )
                case StopRun():
                    run = self.runs[name]
                    self.runs[name] = run.model_copy(update={"state": RunState.STOPPED})
        if step.status != job.status:
            self._kube.replace_status(
                TRAINING_JOB, name, step.status.to_document(), namespace=self._namespace
            )

    def _tend_version(self, version: ModelVersion) -> None:
        if settled(version) and version.metadata.name != self._champion_name:
            return
        step = rollout.plan(version, self._seen(version), now=datetime.now(UTC))
        for action in step.actions:
            self._carry_out(version, action)
        if step.status != version.status:
            self._save(version.metadata.name, step.status)

    def _seen(self, version: ModelVersion) -> ServingObservation:
        name, versions = version.metadata.name, self.versions()
        target = rollback_target(versions, self._champion_name or name)
        return ServingObservation(
            reachable=True,
            champion=self._champion,
            candidate=self._candidate,
            champion_name=self._champion_name,
            previous_name=self._routed[-2] if len(self._routed) > 1 else None,
            return_to=target.metadata.name if target else None,
            turn=not any(in_flight(one) for one in versions if one.metadata.name != name),
            analysis=_analysis(version),
        )

    def _carry_out(self, version: ModelVersion, action: VersionAction) -> None:
        digest, name = version.spec.artifact.digest, version.metadata.name
        bad = digest in self.bad_digests
        match action:
            case LoadCandidate() if bad:
                self._candidate = Slot(SlotState.FAILED, None, digest, "the digest does not match")
            case LoadCandidate():
                self._candidate = Slot(SlotState.READY, digest)
            case SwitchChampion() | ReloadChampion() if not bad:
                self._champion = Slot(SlotState.READY, digest)
                if self._champion_name != name:
                    self._routed.append(name)
            case DropCandidate():
                self._candidate = Slot()
            case ReturnToPrevious(message=message):
                target = rollback_target(self.versions(), name)
                if target is not None:
                    status = recalled(target.status, message, now=datetime.now(UTC))
                    self._save(target.metadata.name, status)

    def _save(self, name: str, status: ModelVersionStatus) -> None:
        document = status.to_document()
        self._kube.replace_status(MODEL_VERSION, name, document, namespace=self._namespace)


def _analysis(version: ModelVersion) -> AnalysisResult | None:
    raw = version.metadata.annotations.get("sentops.dev/analysis")
    document: dict[str, Any] = json.loads(raw) if raw else {}
    document.pop("stepStartedAt", None)
    if document.pop("stepIndex", None) != version.status.current_step_index:
        return None
    return AnalysisResult.model_validate(document)
