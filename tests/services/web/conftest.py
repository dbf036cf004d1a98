"""Web as people meet it: the real app, over a real spool, with small real services at its sides."""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    closing,
    contextmanager,
)
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from sentops_web.app import create_web
from sentops_web.deps import Parts
from sentops_web.settings import Settings
from sentops_web.spool import Spool
from tests.services.web.fakes import FakeModel, FakeTrainer, a_variant
from tests.support.lifespan import started
from tests.support.serving import served

KEY = "k" * 32
NO_DATABASE = "postgresql://nobody:nothing@127.0.0.1:9/none"  # the discard port: refused at once


@dataclass(frozen=True)
class Web:
    """A running web: its client speaks as one person, by header."""

    client: httpx.AsyncClient
    parts: Parts
    registry: CollectorRegistry

    async def predict(self, text: str, **headers: str) -> dict[str, object]:
        answer = await self.client.post("/api/predict", json={"text": text}, headers=headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, object] = answer.json()
        return found

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


StartWeb = Callable[..., AbstractAsyncContextManager[Web]]


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def model_url(model: FakeModel) -> Iterator[str]:
    with served(model.app()) as url:
        yield url


@pytest.fixture
def trainer(model_url: str) -> FakeTrainer:
    trainer = FakeTrainer()
    trainer.route(a_variant(model_url))
    return trainer


@pytest.fixture
def trainer_url(trainer: FakeTrainer) -> Iterator[str]:
    with served(trainer.app()) as url:
        yield url


@pytest.fixture
def start_web(trainer_url: str, trainer: FakeTrainer, tmp_path: Path) -> StartWeb:
    """`async with start_web(database_url=..., any_setting=...) as web`."""

    @asynccontextmanager
    async def start(**settings: object) -> AsyncIterator[Web]:
        values = {
            "database_url": NO_DATABASE,
            "trainer_url": trainer_url,
            "trainer_token": trainer.token,
            "signing_key": KEY,
            "spool_dir": tmp_path / "spool",
        } | settings
        chosen = Settings.model_validate(values)
        registry = CollectorRegistry()
        spool = Spool.open(
            chosen.spool_dir, max_rows=chosen.spool_max_rows, max_bytes=chosen.spool_max_bytes
        )
        with closing(spool):
            app = create_web(chosen, spool, registry=registry)
            async with started(app) as manager:
                parts = manager._state["parts"]
                transport = httpx.ASGITransport(manager.app)
                async with httpx.AsyncClient(
                    transport=transport,
                    base_url="http://web",
                    headers={"x-client-id": "one-person"},
                ) as client:
                    yield Web(client, parts, registry)

    return start


@pytest.fixture
async def web(start_web: StartWeb) -> AsyncIterator[Web]:
    """Web without a database: all that does not read old answers works."""
    async with start_web() as started:
        yield started


@pytest.fixture
async def visitor(web: Web) -> AsyncIterator[httpx.AsyncClient]:
    """A browser without script: keeps cookies, follows redirects, sends no header of ours."""
    async with a_visitor(web) as visitor:
        yield visitor


def a_visitor(web: Web, language: str = "en") -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=web.client._transport,
        base_url="http://web",
        follow_redirects=True,
        headers={"accept-language": language},
    )


def prediction_in(html: str) -> str:
    found = re.search(r'name="prediction_id" value="([0-9a-f-]+)"', html)
    assert found, html
    return found[1]


@pytest.fixture
def serve_web(
    trainer_url: str, trainer: FakeTrainer, database_url: str, tmp_path: Path
) -> Callable[..., AbstractContextManager[str]]:
    """`with serve_web(any_setting=...) as url`: the whole of web on a port, with its database."""

    @contextmanager
    def serve(**settings: object) -> Iterator[str]:
        values = {
            "database_url": database_url,
            "trainer_url": trainer_url,
            "trainer_token": trainer.token,
            "signing_key": KEY,
            "spool_dir": tmp_path / "spool",
        } | settings
        chosen = Settings.model_validate(values)
        spool = Spool.open(chosen.spool_dir, max_rows=100_000, max_bytes=100_000_000)
        with closing(spool), served(create_web(chosen, spool, registry=CollectorRegistry())) as url:
            yield url

    return serve


@pytest.fixture
def site(serve_web: Callable[..., AbstractContextManager[str]]) -> Iterator[str]:
    with serve_web() as url:
        yield url
