"""From people's votes to a mail and back: the real monitor on a real PostgreSQL, Prometheus with the rules, Alertmanager, a mail server."""

import re
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import SecretStr

from sentops_core.domain.resources import (
    ModelVersion,
    ModelVersionPhase,
    ModelVersionStatus,
    Variant,
)
from sentops_core.store.feedback import Feedback
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.pool import Pool, transaction
from sentops_core.store.predictions import PredictionRow, Predictions
from sentops_core.store.routing import RoutingTable
from sentops_monitor.app import create_monitor
from sentops_monitor.settings import Settings
from tests.grafana.test_alert_mail import alerting
from tests.grafana.test_rules import FILES
from tests.support.alertmanager import needs_alertmanager
from tests.support.builders import a_model_version
from tests.support.eventually import eventually
from tests.support.prometheus import (
    Prometheus,
    needs_prometheus,
    running_prometheus,
    scrape_config,
)
from tests.support.rows import a_prediction, a_vote
from tests.support.serving import served

pytestmark = [
    pytest.mark.pg,
    needs_prometheus,
    needs_alertmanager,
    pytest.mark.filterwarnings("ignore:Requiring AUTH"),
]

PATIENCE = 60


def impatient_rules(folder: Path) -> list[Path]:
    """The rules as they are, but for how long something must last."""
    folder.mkdir()
    copies = []
    for file in FILES:
        copy = folder / file.name
        copy.write_text(re.sub(r"^( +for:) .*$", r"\1 1s", file.read_text(), flags=re.MULTILINE))
        copies.append(copy)
    return copies


async def goes_live(pool: Pool, number: int, *, instead_of: ModelVersion | None) -> ModelVersion:
    status = ModelVersionStatus(phase=ModelVersionPhase.LIVE, phase_started_at=datetime.now(UTC))
    version = a_model_version(number, status=status)
    variant = Variant(
        name="champion",
        url="http://model:8501",
        model_version=version.metadata.name,
        digest=version.spec.artifact.digest,
        weight=100,
    )
    previous = None if instead_of is None else instead_of.metadata.name
    async with transaction(pool) as connection:
        await ModelVersions(connection).create(version, created_by="test")
        await RoutingTable(connection).save(
            "sentiment",
            [variant],
            champion=version.metadata.name,
            previous_champion=previous,
        )
    return version


async def answers(pool: Pool, version: ModelVersion, count: int) -> list[PredictionRow]:
    now = datetime.now(UTC)
    rows = [
        a_prediction(
            now - timedelta(seconds=number),
            client=f"client-{number}",
            model_version=version.metadata.name,
        )
        for number in range(count)
    ]
    async with transaction(pool) as connection:
        await Predictions(connection).copy_in(rows)
    return rows


async def say(pool: Pool, rows: list[PredictionRow], label: str, *, after: float = 60) -> None:
    async with transaction(pool) as connection:
        await Feedback(connection).record([a_vote(row, label, after=after) for row in rows])


def live(prometheus: Prometheus) -> list[str]:
    return [
        one.labels["version"] for one in prometheus.query("sentops_serving_since_timestamp_seconds")
    ]


async def test_bad_votes_become_a_mail_and_a_better_version_another(
    pool: Pool, database_url: str, tmp_path: Path
) -> None:
    settings = Settings(database_url=SecretStr(database_url), refresh_seconds=0.5)
    with ExitStack() as stack:
        monitor = stack.enter_context(served(create_monitor(settings)))
        await eventually(lambda: is_ready(monitor), within=PATIENCE)
        alertmanager, server = stack.enter_context(alerting(tmp_path / "mail"))
        config = scrape_config(
            rule_files=impatient_rules(tmp_path / "rules"),
            alertmanager=alertmanager.port,
            monitor=urlsplit(monitor).port or 0,
        )
        prometheus = stack.enter_context(running_prometheus(config, tmp_path / "prometheus"))

        # Fresh: nothing is live, nobody asked, nobody voted.
        def is_watched() -> bool:
            known = prometheus.query(
                "sentops:quality_floor and on () sentops_quality_snapshot_timestamp_seconds"
            )
            return [one.value for one in known] == [0.7]

        await eventually(is_watched, within=PATIENCE, every=0.2)
        assert prometheus.alerts() == {}

        # People ask, and agree.
        first = await goes_live(pool, 1, instead_of=None)
        rows = await answers(pool, first, 60)
        await say(pool, rows, "positive")
        await eventually(
            lambda: prometheus.query("sentops:quality_high_ratio"), within=PATIENCE, every=0.2
        )
        assert prometheus.alerts() == {}

        # They change their minds.
        await say(pool, rows, "negative", after=120)
        (mail,) = await eventually(
            lambda: server.about("[FIRING] SentopsQualityLow"), within=PATIENCE, every=0.2
        )
        assert mail.recipients == ("ops@example.org",)
        assert "People disagree with sentiment-v1 too often." in mail.subject
        assert "at most 6" in mail.text  # the upper end of 0 of 60
        assert "https://sentiment.example.org/backoffice/runbook#sentopsqualitylow" in mail.text
        assert (
            'href="https://sentiment.example.org/backoffice/runbook#sentopsqualitylow"' in mail.html
        )
        assert prometheus.alerts() == {"SentopsQualityLow": "firing"}

        # Another version takes its place.
        await goes_live(pool, 2, instead_of=first)
        (over,) = await eventually(
            lambda: server.about("[RESOLVED] SentopsQualityLow"), within=PATIENCE, every=0.2
        )
        assert live(prometheus) == ["sentiment-v2"]
        assert "sentiment-v1" in over.text
        assert "https://sentiment.example.org/backoffice/runbook#sentopsqualitylow" in over.text
        assert [mail.subject.split(":")[0] for mail in server.mails] == [
            "[FIRING] SentopsQualityLow",
            "[RESOLVED] SentopsQualityLow",
        ]


def is_ready(url: str) -> bool:
    return httpx.get(f"{url}/health/ready", timeout=5, trust_env=False).is_success
