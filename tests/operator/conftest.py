import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sentops_operator import work_queue
from sentops_operator.settings import Settings
from sentops_operator.startup import Operator, Patience
from tests.operator.actors import NAMESPACE, Cluster
from tests.support.eventually import eventually
from tests.support.helm import helm  # noqa: F401 - a fixture
from tests.support.kube_api import KubeServer

RunningOperator = Callable[..., AbstractAsyncContextManager[Operator]]


@pytest.fixture
async def kube(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KubeServer]:
    async with KubeServer() as server:
        config = server.write_kubeconfig(tmp_path / "kubeconfig", namespace=NAMESPACE)
        monkeypatch.setenv("KUBECONFIG", str(config))
        yield server


@pytest.fixture
def cluster(kube: KubeServer) -> Cluster:
    return Cluster(kube)


@dataclass
class Clock:
    """The operator's; tests turn it forward."""

    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def forward(self, **span: float) -> None:
        self.ahead += timedelta(**span)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures are tried again at once."""
    monkeypatch.setattr(work_queue, "_FIRST_RETRY_SECONDS", 0.02)
    monkeypatch.setattr(work_queue, "_LAST_RETRY_SECONDS", 0.1)


def settings_for_tests(**fields: object) -> Settings:
    return Settings.model_validate(
        {
            "host": "127.0.0.1",
            "port": 0,
            "namespace": NAMESPACE,
            "namespaces": NAMESPACE,
            "pod_name": "operator-0",
            "leader_election": False,
            "trainer_image": "sentops-trainer:1",
            "model_image": "sentops-model:1",
            "status_url": "http://operator:8080",
            "work_storage_size": "5Gi",
            **fields,
        }
    )


@pytest.fixture
def operator(kube: KubeServer, clock: Clock) -> RunningOperator:
    """`async with operator():` a real operator in this process, ended without goodbye at the end."""

    @asynccontextmanager
    async def running(
        *, patience: Patience | None = None, wait: bool = True, **fields: object
    ) -> AsyncIterator[Operator]:
        async with kube.client() as client:
            one = Operator(settings_for_tests(**fields), client, patience=patience, clock=clock)
            task = asyncio.create_task(one.run())
            try:
                if wait:
                    await eventually(lambda: task.done() or one.ready.is_set())
                yield one
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    return running
