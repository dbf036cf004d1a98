"""Policies on rows, and as custom resources, looked at by the real loop while nothing trains."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from sentops_core.datasets.building import BuildRequest, Built, build_from_file
from sentops_core.datasets.reading import read_file
from sentops_core.domain.resources import (
    ModelVersionPhase,
    RetrainPolicy,
    RetrainPolicySpec,
    TrainingJob,
    TrainingJobPhase,
    TrainingJobStatus,
)
from sentops_core.kube import KubeApi, open_client
from sentops_core.kube.kinds import RETRAIN_POLICY, TRAINING_JOB
from sentops_core.language import language_detector
from sentops_core.store.audit import Audit, AuditRow
from sentops_core.store.feedback import Feedback
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.pool import Pool, transaction
from sentops_core.store.predictions import Predictions
from sentops_core.store.retrain_policies import RetrainPolicies
from sentops_core.store.routing import RoutingTable
from sentops_core.store.training_jobs import TrainingJobs
from sentops_trainer.cluster.control_plane import ClusterControlPlane
from sentops_trainer.cluster.custom_resources import CustomResources
from sentops_trainer.cluster.names import FIELD_MANAGER
from sentops_trainer.cluster.policies import ClusterPolicies
from sentops_trainer.control_plane import ControlPlane, OpenControlPlane
from sentops_trainer.local.control_plane import LocalControlPlane
from sentops_trainer.local.policies import LocalPolicies
from sentops_trainer.local.processes import Processes
from sentops_trainer.local.resources import Resources
from sentops_trainer.metrics import RetrainFigures
from sentops_trainer.retraining.carrying_out import BuildDataset, CarryingOut, building_apart
from sentops_trainer.retraining.loop import RetrainLoop
from sentops_trainer.retraining.substrate import PolicySubstrate
from tests.support.builders import a_model_version
from tests.support.kube_api import KubeServer
from tests.support.reviews import some_reviews, to_csv
from tests.support.rows import a_prediction, a_vote

NAMESPACE = "team"
SPEC: dict[str, Any] = {
    "modelName": "sentiment",
    "triggers": {"newLabels": {"min": 5}},
    "guards": {"cooldownSeconds": 0, "maxPerDay": 3, "minNewLabels": 5},
    "template": {"trainer": {"method": "Linear"}, "fastPath": "Off"},
}


class Clock:
    """Goes on by itself, and further when it is told to."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class Building:
    """The real thing, counted; `fault` befalls each build before or after it."""

    build: BuildDataset
    requests: list[BuildRequest] = field(default_factory=list)
    before: BaseException | None = None
    after: BaseException | None = None

    async def __call__(self, request: BuildRequest) -> Built:
        self.requests.append(request)
        if self.before is not None:
            raise self.before
        built = await self.build(request)
        if self.after is not None:
            raise self.after
        return built


@dataclass
class Ground(ABC):
    pool: Pool
    database_url: str
    folder: Path
    substrate: PolicySubstrate = field(init=False)
    open_control_plane: OpenControlPlane = field(init=False)
    clock: Clock = field(default_factory=Clock)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    store_uri: str = ""
    building: Building = field(init=False)
    loop: RetrainLoop = field(init=False)
    _said: int = 0

    def ready(self) -> None:
        self.building = Building(building_apart(self.database_url))
        self.loop = self.another_loop(self.registry)

    def another_loop(self, registry: CollectorRegistry | None = None) -> RetrainLoop:
        """As after a restart, or of another replica."""
        return RetrainLoop(
            self.pool,
            self.substrate,
            self.carrying_out(),
            RetrainFigures.on(registry or CollectorRegistry()),
            seconds=60,
            clock=self.clock,
        )

    def carrying_out(self) -> CarryingOut:
        return CarryingOut(self.pool, self.open_control_plane, self.store_uri, self.building)

    @abstractmethod
    async def apply(self, name: str = "weekly", **spec: Any) -> None: ...

    @abstractmethod
    async def policy(self, name: str = "weekly") -> RetrainPolicy: ...

    @abstractmethod
    async def delete(self, name: str = "weekly") -> None: ...

    @abstractmethod
    async def jobs(self) -> list[TrainingJob]: ...

    @abstractmethod
    async def finish(self, name: str) -> None: ...

    async def dataset(self, count: int = 120) -> None:
        file = self.folder / "reviews.csv"
        file.write_bytes(to_csv(some_reviews(count)))
        await build_from_file(
            self.pool,
            read_file(file, file.name),
            BuildRequest(store_uri=self.store_uri, actor="test", dataset="reviews"),
            detect_language=language_detector(),
        )

    async def people_say(self, count: int, *, clients: tuple[str, ...] = ("ada",)) -> None:
        """On new texts. Several clients contradict each other."""
        reviews = some_reviews(self._said + count, seed=7)[self._said :]
        self._said += count
        labels = ("positive", "negative")
        async with transaction(self.pool) as connection:
            for text, label in reviews:
                answer = a_prediction(datetime.now(UTC), text)
                await Predictions(connection).copy_in([answer])
                said = [label, *labels] if len(clients) == 1 else list(labels)
                votes = [
                    a_vote(answer, one, client=client, after=0)
                    for client, one in zip(clients, said, strict=False)
                ]
                await Feedback(connection).upsert_many(votes)

    async def champion(self) -> None:
        """sentiment-v1, in the tables, where one machine has it and the mirror of a cluster writes it."""
        version = a_model_version(1)
        live = version.status.model_copy(update={"phase": ModelVersionPhase.LIVE})
        name = version.metadata.name
        async with transaction(self.pool) as connection:
            await ModelVersions(connection).create(version, created_by="test", training_job=None)
            await ModelVersions(connection).save_status(name, live)
            await RoutingTable(connection).save(
                "sentiment", [], champion=name, previous_champion=None
            )

    async def versions_of_dataset(self) -> list[tuple[str, str]]:
        async with self.pool.acquire() as connection:
            rows = await connection.fetch(
                "SELECT name, created_by FROM dataset_versions ORDER BY number"
            )
        return [(row["name"], row["created_by"]) for row in rows]

    async def audit(self, name: str = "weekly") -> list[AuditRow]:
        """Oldest first."""
        async with self.pool.acquire() as connection:
            return list(reversed(await Audit(connection).newest(subject=name)))

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@dataclass
class OnRows(Ground):
    def __post_init__(self) -> None:
        self.store_uri = f"file://{self.folder}/store"
        processes = Processes(self.folder / "runs", progress_url="http://nowhere", threads=1)

        @asynccontextmanager
        async def opened() -> AsyncIterator[ControlPlane]:
            async with transaction(self.pool) as connection:
                yield LocalControlPlane(Resources(connection), processes, "sentiment")

        self.open_control_plane = opened
        self.substrate = LocalPolicies(self.pool)
        self.ready()

    async def apply(self, name: str = "weekly", **spec: Any) -> None:
        async with self.open_control_plane() as plane:
            document = RetrainPolicySpec.model_validate(SPEC | spec)
            await plane.put_policy(name, document, generation=None, actor="ada")

    async def policy(self, name: str = "weekly") -> RetrainPolicy:
        async with self.open_control_plane() as plane:
            return await plane.policy(name)

    async def delete(self, name: str = "weekly") -> None:
        async with transaction(self.pool) as connection:
            await RetrainPolicies(connection).delete(name)

    async def jobs(self) -> list[TrainingJob]:
        async with transaction(self.pool) as connection:
            return [row.job for row in await TrainingJobs(connection).newest()]

    async def finish(self, name: str) -> None:
        async with transaction(self.pool) as connection:
            await TrainingJobs(connection).save_status(
                name, TrainingJobStatus(phase=TrainingJobPhase.REJECTED)
            )


@dataclass
class OnResources(Ground):
    kube: KubeServer = field(default_factory=KubeServer)
    resources: CustomResources = field(init=False)

    def set_up(self, api: KubeApi) -> None:
        self.store_uri = "pvc://claim/store"
        self.resources = CustomResources(api, NAMESPACE)

        @asynccontextmanager
        async def opened() -> AsyncIterator[ControlPlane]:
            yield ClusterControlPlane(self.pool, self.resources, "sentiment")

        self.open_control_plane = opened
        self.substrate = ClusterPolicies(self.pool, self.resources)
        self.ready()

    async def apply(self, name: str = "weekly", **spec: Any) -> None:
        document = {"metadata": {"name": name}, "spec": SPEC | spec}
        if self.kube.find(RETRAIN_POLICY, name, namespace=NAMESPACE) is None:
            self.kube.put(RETRAIN_POLICY, document, namespace=NAMESPACE)
        else:
            whole = [{"op": "replace", "path": "/spec", "value": SPEC | spec}]
            self.kube.objects.json_patch(RETRAIN_POLICY, NAMESPACE, name, whole)

    async def policy(self, name: str = "weekly") -> RetrainPolicy:
        return await self.resources.policy(name)

    async def delete(self, name: str = "weekly") -> None:
        self.kube.delete(RETRAIN_POLICY, name, namespace=NAMESPACE)

    async def jobs(self) -> list[TrainingJob]:
        return await self.resources.jobs()

    async def finish(self, name: str) -> None:
        self.kube.set_status(TRAINING_JOB, name, {"phase": "Rejected"}, namespace=NAMESPACE)


@asynccontextmanager
async def on_resources(
    pool: Pool, database_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[OnResources]:
    (folder / "claim").mkdir()
    monkeypatch.setenv("SENTOPS_PVC_ROOT", str(folder))
    async with KubeServer() as kube:
        monkeypatch.setenv("KUBECONFIG", str(kube.write_kubeconfig(folder / "kubeconfig")))
        async with open_client() as client:
            ground = OnResources(pool, database_url, folder, kube=kube)
            ground.set_up(KubeApi(client, field_manager=FIELD_MANAGER))
            yield ground


def failing_at(opened: OpenControlPlane, error: Exception) -> OpenControlPlane:
    """The same control plane, where no training can be created."""

    @asynccontextmanager
    async def broken() -> AsyncIterator[ControlPlane]:
        async with opened() as plane:

            async def create_job(*_: object, **__: object) -> None:
                raise error

            plane.create_job = create_job  # type: ignore[method-assign]
            yield plane

    return broken
