"""When the trainer of a cluster is ready: what is away must not take away what can still be answered."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sentops_core.store.pool import Pool
from sentops_trainer.cluster import mirror_loop
from tests.services.trainer.machines import InCluster, a_cluster
from tests.support.cable import a_cable
from tests.support.eventually import eventually

pytestmark = pytest.mark.pg


@dataclass
class Cabled:
    cluster: InCluster
    cut_database: Callable[[], Awaitable[None]]

    async def health(self) -> tuple[int, str, str]:
        answer = await self.cluster.client.get("/health/ready")
        body = answer.json()
        return answer.status_code, body["status"], body.get("detail", "")


@pytest.fixture
async def cabled(
    pool: Pool, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Cabled]:
    """Ready, with a mirror that counts as stuck after a moment."""
    monkeypatch.setattr(mirror_loop, "_PATIENCE", timedelta(seconds=0.5))
    database = urlsplit(database_url)
    async with a_cable(database.hostname or "", database.port or 5432) as (port, cut):
        through = database._replace(netloc=re.sub(r":\d+$", f":{port}", database.netloc))
        async with a_cluster(pool, through.geturl(), tmp_path, monkeypatch) as cluster:
            made = Cabled(cluster, cut)

            async def is_ready() -> bool:
                return (await made.health())[:2] == (200, "ok")

            await eventually(is_ready)
            yield made


async def test_a_stuck_mirror_is_told_and_leaves_the_trainer_ready(cabled: Cabled) -> None:
    cabled.cluster.kube.fail(100_000, 403, verb="list", resource="modelversions")

    async def is_degraded() -> bool:
        status, state, detail = await cabled.health()
        assert status == 200
        return state == "degraded" and "check its Role" in detail

    await eventually(is_degraded)
    assert (await cabled.cluster.client.get("/routing")).status_code == 200
    metrics = (await cabled.cluster.client.get("/metrics")).text
    assert 'sentops_mirror_rounds_total{outcome="unavailable"}' in metrics
    assert re.search(r"sentops_mirror_last_round_timestamp_seconds 1\.\d+e\+09", metrics)
    cabled.cluster.kube.faults.clear()

    async def is_well_again() -> bool:
        return (await cabled.health())[:2] == (200, "ok")

    await eventually(is_well_again)


async def test_without_its_database_the_trainer_is_not_ready(cabled: Cabled) -> None:
    await cabled.cut_database()

    async def says_why() -> bool:
        status, _, detail = await cabled.health()
        return status == 503 and "The database does not answer" in detail

    await eventually(says_why)
