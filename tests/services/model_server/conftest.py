"""Fixtures of the model server's tests."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from sentops_model_server.app import build_app
from sentops_model_server.settings import ModelSettings
from tests.support.artifacts import BuiltArtifact, build_artifact
from tests.support.lifespan import started

TOKEN = "a-control-token"


@dataclass(frozen=True)
class ModelServer:
    client: httpx.AsyncClient
    app: FastAPI

    async def put(
        self, artifact: BuiltArtifact, *, version: str = "v1", slot: str = "champion"
    ) -> httpx.Response:
        wanted = {"storage_uri": artifact.uri, "digest": artifact.digest, "model_version": version}
        return await self.client.put(f"/slots/{slot}", json=wanted, headers=AUTHORISED)

    async def slots(self) -> dict[str, Any]:
        return (await self.client.get("/slots")).json()

    async def metric(self, line_start: str) -> float:
        """The value of the one sample whose line starts so; 0 when there is none."""
        text = (await self.client.get("/metrics")).text
        return sum(
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith(line_start)
        )


AUTHORISED = {"authorization": f"Bearer {TOKEN}"}
StartServer = Callable[..., Any]


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> BuiltArtifact:
    return build_artifact(tmp_path_factory.mktemp("artifacts") / "first")


@pytest.fixture(scope="session")
def other_artifact(tmp_path_factory: pytest.TempPathFactory) -> BuiltArtifact:
    return build_artifact(tmp_path_factory.mktemp("artifacts") / "second", strength=2.0)


@pytest.fixture(scope="session")
def slow_artifact(tmp_path_factory: pytest.TempPathFactory) -> BuiltArtifact:
    """About ten milliseconds for a full-length text: long enough to queue behind."""
    return build_artifact(
        tmp_path_factory.mktemp("artifacts") / "slow", hidden=256, layers=20, max_length=512
    )


@pytest.fixture
async def start_server(tmp_path: Path) -> AsyncIterator[StartServer]:
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> ModelServer:
            defaults = {
                "control_token": TOKEN,
                "cache_dir": tmp_path / "cache",
                "workers": 2,
                "answer_cache_entries": 0,  # or the second time proves nothing
            }
            app = build_app(ModelSettings(**(defaults | settings)))
            running = await stack.enter_async_context(started(app))
            transport = httpx.ASGITransport(running.app, raise_app_exceptions=False)
            client = httpx.AsyncClient(transport=transport, base_url="http://model", timeout=30)
            return ModelServer(await stack.enter_async_context(client), app)

        yield start


@pytest.fixture
async def server(start_server: StartServer) -> ModelServer:
    """An empty server."""
    return await start_server()


@pytest.fixture
async def serving(server: ModelServer, artifact: BuiltArtifact) -> ModelServer:
    """A server that serves the first artefact as v1."""
    assert (await server.put(artifact)).status_code == 200
    return server
