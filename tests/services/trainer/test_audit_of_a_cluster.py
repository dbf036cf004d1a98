"""What the audit log of a cluster says of what its operator did, and of wishes that passed our API by."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sentops_core.domain.resources import ModelVersionPhase
from sentops_core.store.audit import AuditRow
from sentops_core.store.pool import Pool
from sentops_trainer.news import phase_action
from tests.services.trainer.machines import InCluster, a_cluster
from tests.support.eventually import eventually

pytestmark = pytest.mark.pg


@pytest.fixture
async def cluster(
    pool: Pool, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[InCluster]:
    async with a_cluster(pool, database_url, tmp_path, monkeypatch) as opened:
        for number in (1, 2):
            await opened.register(number)
            await opened.reaches(f"sentiment-v{number}", "Live")
            # Each state is seen: what happens between two looks leaves no line.
            await line(opened, f"sentiment-v{number}", "model_version.live")
        yield opened


async def line(cluster: InCluster, subject: str, action: str) -> AuditRow:
    async def look() -> AuditRow:
        found = [one for one in await cluster.audit(subject) if one.action == action]
        assert len(found) == 1, found
        return found[0]

    return await eventually(look)


def test_phases_are_written_as_the_deeds_they_are() -> None:
    assert phase_action(ModelVersionPhase.ROLLED_BACK) == "model_version.rolled_back"
    assert phase_action(ModelVersionPhase.LIVE) == "model_version.live"


async def test_a_return_that_the_operator_made_says_where_to_and_why(cluster: InCluster) -> None:
    await cluster.archive_past_the_api("sentiment-v2")
    returned = await line(cluster, "sentiment-v2", "model_version.rolled_back")
    assert returned.actor == "operator"
    assert returned.evidence == {
        "to": "sentiment-v1",
        "why": "Taken out of service; sentiment-v1 is asked to serve again.",
        "reason": "RolledBack",
    }


async def test_a_rollback_asked_for_here_has_one_line(cluster: InCluster) -> None:
    await cluster.act("sentiment-v2", "rollback", reason="worse")
    await cluster.routes(sentiment_v1=100)
    returned = await line(cluster, "sentiment-v2", "model_version.rolled_back")
    assert (returned.actor, returned.evidence["to"]) == ("ada", "sentiment-v1")
    assert [one.action for one in await cluster.audit("sentiment-v2")][-1] == returned.action
