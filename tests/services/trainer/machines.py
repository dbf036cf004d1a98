"""The two substrates behind one API, as scenarios that must pass on both see them."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from sentops_core.domain.resources import ArtifactRef, DesiredState, ModelVersion, Rollout
from sentops_core.kube.kinds import MODEL_VERSION, TRAINING_JOB
from sentops_core.store.audit import Audit, AuditRow
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.pool import Pool
from sentops_model_server.app import build_app
from sentops_model_server.settings import ModelSettings
from sentops_trainer.app import create_trainer
from sentops_trainer.local.resources import Resources
from sentops_trainer.settings import ClusterSettings, LocalSettings
from tests.support.artifacts import BuiltArtifact, build_artifact
from tests.support.builders import a_digest, a_model_version
from tests.support.eventually import eventually
from tests.support.kube_api import KubeServer
from tests.support.lifespan import started as started_app
from tests.support.pretend_operator import PretendOperator
from tests.support.serving import served

TOKEN = "trainer-token"
CONTROL = "control-token"
NAMESPACE = "team"
STORES = {"local": "file:///nowhere", "kubernetes": "s3://nowhere/store"}


@asynccontextmanager
async def the_api(settings: LocalSettings | ClusterSettings) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        started_app(create_trainer(settings)) as manager,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(manager.app),
            base_url="http://trainer",
            headers={"authorization": f"Bearer {TOKEN}"},
        ) as client,
    ):
        yield client


@dataclass
class Platform(ABC):
    """One substrate with its API; `register` is what the end of a training does."""

    pool: Pool
    client: httpx.AsyncClient = field(init=False)
    running: AsyncExitStack = field(default_factory=AsyncExitStack)

    store_uri = ""

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def store(self, version: ModelVersion) -> None: ...

    @abstractmethod
    async def archive_past_the_api(self, name: str) -> None: ...

    @abstractmethod
    def artifact(self, number: int) -> ArtifactRef: ...

    @abstractmethod
    def damage(self, number: int) -> None: ...

    async def stop(self) -> None:
        await self.running.aclose()

    async def register(self, number: int, **spec: Any) -> None:
        rollout = Rollout.model_validate(spec.pop("rollout", {}))
        desired = spec.pop("desired_state", DesiredState.CHAMPION)
        await self.store(
            a_model_version(
                number,
                artifact=self.artifact(number),
                desired_state=desired,
                rollout=rollout,
                **spec,
            )
        )

    def manifest(self, name: str = "by-hand", **spec: object) -> dict[str, object]:
        return {
            "kind": "TrainingJob",
            "metadata": {"name": name},
            "spec": {
                "modelName": "sentiment",
                "baseModel": {"storageUri": "named://english-small"},
                "dataset": {"storageUri": f"{self.store_uri}/v1", "contentHash": a_digest()},
                "output": {"storageUri": self.store_uri},
                "suspend": True,
                **spec,
            },
        }

    async def act(self, name: str, action: str, **body: object) -> httpx.Response:
        headers = {"x-sentops-actor": "ada"}
        return await self.client.post(
            f"/model-versions/{name}/{action}", json=body, headers=headers
        )

    async def version(self, name: str) -> ModelVersion:
        answer = await self.client.get(f"/model-versions/{name}")
        assert answer.status_code == 200, answer.text
        return ModelVersion.model_validate(answer.json())

    async def reaches(self, name: str, phase: str) -> ModelVersion:
        async def look() -> ModelVersion:
            version = await self.version(name)
            assert version.status.phase == phase, version.status
            return version

        return await eventually(look)

    async def job_reaches(self, name: str, phase: str) -> dict[str, Any]:
        async def look() -> dict[str, Any]:
            job: dict[str, Any] = (await self.client.get(f"/training-jobs/{name}")).json()
            assert job["status"]["phase"] == phase, job["status"]
            return job

        return await eventually(look)

    async def routes(self, **weights: int) -> None:
        """Wait until everybody is routed so: sentiment_v1=90, sentiment_v2=10."""
        wanted = {name.replace("_", "-"): weight for name, weight in weights.items()}

        async def look() -> bool:
            variants = (await self.client.get("/routing")).json()["variants"]
            found = {one["modelVersion"]: one["weight"] for one in variants}
            assert found == wanted
            return True

        await eventually(look)

    async def audit(self, subject: str) -> list[AuditRow]:
        """Oldest first."""
        async with self.pool.acquire() as connection:
            return list(reversed(await Audit(connection).newest(subject=subject)))

    async def deeds(self, subject: str, actor: str) -> list[str]:
        return [line.action for line in await self.audit(subject) if line.actor == actor]

    async def event_reasons(self, name: str) -> list[str]:
        events = (await self.client.get(f"/training-jobs/{name}/events")).json()
        return [event["reason"] for event in events]


@dataclass
class OneMachine(Platform):
    """The real converge loop on rows, beside a real model server."""

    folder: Path | None = None
    database_url: str = ""
    built: dict[int, BuiltArtifact] = field(default_factory=dict)

    store_uri = STORES["local"]

    async def start(self) -> None:
        assert self.folder is not None
        model = build_app(
            ModelSettings(control_token=SecretStr(CONTROL), cache_dir=self.folder / "cache")
        )
        settings = LocalSettings(
            database_url=SecretStr(self.database_url),
            token=SecretStr(TOKEN),
            store_uri=self.store_uri,
            model_url=self.running.enter_context(served(model)),
            model_control_token=SecretStr(CONTROL),
            runs_dir=self.folder / "runs",
            converge_seconds=0.05,
        )
        self.client = await self.running.enter_async_context(the_api(settings))

    def artifact(self, number: int) -> ArtifactRef:
        assert self.folder is not None
        if number not in self.built:
            folder = self.folder / f"artifact-{number}"
            self.built[number] = build_artifact(folder, strength=2 + number / 10)
        built = self.built[number]
        return ArtifactRef(storage_uri=built.uri, digest=built.digest, size_bytes=1)

    async def store(self, version: ModelVersion) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            await Resources(connection).create_version(version, actor="test")

    async def archive_past_the_api(self, name: str) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            await ModelVersions(connection).set_desired_state(name, DesiredState.ARCHIVED)

    def damage(self, number: int) -> None:
        assert self.folder is not None
        model = self.folder / f"artifact-{number}" / "model.onnx"
        model.write_bytes(model.read_bytes()[:-10])


@dataclass
class InCluster(Platform):
    """Custom resources in a pretend API server, carried out by a pretend operator that plans for real."""

    kube: KubeServer = field(default_factory=KubeServer)
    operator: PretendOperator = field(init=False)
    database_url: str = ""

    store_uri = STORES["kubernetes"]

    async def start(self) -> None:
        """KUBECONFIG leads to `kube` already."""
        self.operator = PretendOperator(self.kube, NAMESPACE)
        await self.running.enter_async_context(self.operator)
        self.client = await self.running.enter_async_context(the_api(self.settings()))

    def settings(self, **fields: Any) -> ClusterSettings:
        return ClusterSettings(
            database_url=SecretStr(self.database_url),
            token=SecretStr(TOKEN),
            store_uri=self.store_uri,
            namespace=NAMESPACE,
            mirror_seconds=0.05,
            retrain_seconds=0.1,
            **fields,
        )

    def artifact(self, number: int) -> ArtifactRef:
        digest = a_digest("0123456789"[number])
        return ArtifactRef(storage_uri=f"{self.store_uri}/x", digest=digest, size_bytes=1)

    async def store(self, version: ModelVersion) -> None:
        document = version.to_document()
        metadata = {"name": version.metadata.name}
        self.kube.put(
            MODEL_VERSION, {"metadata": metadata, "spec": document["spec"]}, namespace=NAMESPACE
        )

    async def archive_past_the_api(self, name: str) -> None:
        patch = {"spec": {"desiredState": "Archived"}}
        self.kube.patch(MODEL_VERSION, name, patch, namespace=NAMESPACE)

    def damage(self, number: int) -> None:
        self.operator.bad_digests.add(self.artifact(number).digest)

    def custom_job(self, name: str) -> dict[str, Any]:
        return self.kube.get(TRAINING_JOB, name, namespace=NAMESPACE)

    def custom_version(self, name: str) -> dict[str, Any]:
        return self.kube.get(MODEL_VERSION, name, namespace=NAMESPACE)


@asynccontextmanager
async def started(platform: Platform) -> AsyncIterator[Platform]:
    try:
        await platform.start()
        yield platform
    finally:
        await platform.stop()


@asynccontextmanager
async def a_cluster(
    pool: Pool, database_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[InCluster]:
    async with KubeServer() as kube:
        config = kube.write_kubeconfig(folder / "kubeconfig")
        monkeypatch.setenv("KUBECONFIG", str(config))
        platform = InCluster(pool, kube=kube, database_url=database_url)
        async with started(platform):
            yield platform
