"""The control plane on a real database, with a real model server beside it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from sentops_core.datasets.building import BuildRequest, build_from_file
from sentops_core.datasets.reading import read_file
from sentops_core.language import language_detector
from sentops_core.store.pool import Pool
from sentops_model_server.app import build_app
from sentops_model_server.settings import ModelSettings
from sentops_trainer.app import create_trainer
from sentops_trainer.settings import LocalSettings
from tests.support.lifespan import started
from tests.support.reviews import some_reviews, to_csv
from tests.support.serving import served
from tests.support.tiny_base import build_tiny_base

TOKEN = "trainer-token"
CONTROL = "control-token"


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(autouse=True)
def _no_bucket_but_a_test_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clusters of these tests keep artefacts in s3://nowhere, which must not be looked for on the internet."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # discards
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


@pytest.fixture
def model_url(tmp_path: Path) -> Iterator[str]:
    settings = ModelSettings(control_token=SecretStr(CONTROL), cache_dir=tmp_path / "model-cache")
    with served(build_app(settings)) as url:
        yield url


@dataclass
class Trainer:
    client: httpx.AsyncClient
    pool: Pool
    settings: LocalSettings
    folder: Path

    async def dataset(self, count: int = 180) -> str:
        file = self.folder / "reviews.csv"
        file.write_bytes(to_csv(some_reviews(count)))
        built = await build_from_file(
            self.pool,
            await asyncio.to_thread(read_file, file, file.name),
            BuildRequest(store_uri=self.settings.store_uri, actor="test", dataset="reviews"),
            detect_language=language_detector(),
        )
        return built.version.name


@pytest.fixture
def settings(database_url: str, model_url: str, tmp_path: Path) -> LocalSettings:
    return LocalSettings(
        database_url=SecretStr(database_url),
        token=SecretStr(TOKEN),
        store_uri=f"file://{tmp_path}/store",
        model_url=model_url,
        model_control_token=SecretStr(CONTROL),
        runs_dir=tmp_path / "runs",
        converge_seconds=0.05,
    )


@asynccontextmanager
async def a_service(settings: LocalSettings, pool: Pool, folder: Path) -> AsyncIterator[Trainer]:
    app = create_trainer(settings)
    async with (
        started(app) as manager,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(manager.app),
            base_url="http://trainer",
            headers={"authorization": f"Bearer {TOKEN}"},
        ) as client,
    ):
        yield Trainer(client, pool, settings, folder)


@pytest.fixture
async def trainer(settings: LocalSettings, pool: Pool, tmp_path: Path) -> AsyncIterator[Trainer]:
    async with a_service(settings, pool, tmp_path) as service:
        yield service
