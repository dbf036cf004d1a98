"""From people's votes to a mail and back: the real monitor on a real PostgreSQL, Prometheus with the rules, Alertmanager, a mail server."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from fastapi import FastAPI
from pydantic import SecretStr

from sentops_backoffice.app import create_backoffice
from sentops_backoffice.settings import Settings as BackofficeSettings
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
from sentops_model_server.app import build_app
from sentops_model_server.settings import ModelSettings
from sentops_monitor.app import create_monitor
from sentops_monitor.settings import Settings
from sentops_trainer.app import create_trainer
from sentops_trainer.settings import LocalSettings
from sentops_web.app import create_web
from sentops_web.settings import Settings as WebSettings
from sentops_web.spool import Spool
from tests.support.alerting import alerting, impatient_rules
from tests.support.alertmanager import needs_alertmanager
from tests.support.builders import a_model_version
from tests.support.eventually import eventually
from tests.support.postgres import a_free_port
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
    pytest.mark.timeout(600),
    needs_prometheus,
    needs_alertmanager,
    pytest.mark.filterwarnings("ignore:Requiring AUTH"),
]

PATIENCE = 120


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


@contextmanager
def a_fresh_install(database_url: str, folder: Path) -> Iterator[dict[str, str]]:
    """Every program of one server on an empty database, by name: its URL."""
    secret, store = SecretStr("s" * 32), (folder / "store").as_uri()
    database = SecretStr(database_url)
    with ExitStack() as stack:

        def program(app: FastAPI) -> str:
            return stack.enter_context(served(app))

        model = program(build_app(ModelSettings(cache_dir=folder / "cache", control_token=secret)))
        trainer = program(
            create_trainer(
                LocalSettings(
                    database_url=database,
                    token=secret,
                    store_uri=store,
                    model_url=model,
                    model_control_token=secret,
                    runs_dir=folder / "runs",
                )
            )
        )
        web = WebSettings(
            database_url=database,
            trainer_url=trainer,
            trainer_token=secret,
            signing_key=secret,
            spool_dir=folder / "spool",
        )
        spool = Spool.open(
            web.spool_dir, max_rows=web.spool_max_rows, max_bytes=web.spool_max_bytes
        )
        stack.enter_context(closing(spool))
        backoffice = BackofficeSettings(
            database_url=database, trainer_url=trainer, trainer_token=secret, store_uri=store
        )
        yield {
            "model": model,
            "trainer": trainer,
            "web": program(create_web(web, spool)),
            "backoffice": program(create_backoffice(backoffice)),
            "monitor": program(
                create_monitor(Settings(database_url=database, refresh_seconds=0.5))
            ),
        }


async def test_a_fresh_install_raises_nothing(database_url: str, tmp_path: Path) -> None:
    with a_fresh_install(database_url, tmp_path) as programs:
        await eventually(lambda: is_ready(programs["monitor"]), within=PATIENCE)
        config = scrape_config(
            rule_files=impatient_rules(tmp_path / "rules"),
            **{name: urlsplit(url).port or 0 for name, url in programs.items()},
        )
        with running_prometheus(config, tmp_path / "prometheus") as prometheus:
            everything = "count(min_over_time(up[10s]) == 1) == 5 and on () count_over_time(sentops:quality_floor[30s]) > 10"
            await eventually(lambda: prometheus.query(everything), within=PATIENCE, every=0.2)
            # How full a disk is, is this machine's own affair.
            assert prometheus.query('ALERTS{alertname!~"SentopsDisk.*"}') == []
            # One that is not well is seen.
            silent = scrape_config(rule_files=config["rule_files"], web=a_free_port())
            prometheus.config_file.write_text(yaml.safe_dump(silent))
            prometheus.reload()

            def is_noticed() -> bool:
                assert prometheus.alerts().get("SentopsProgramDown") == "firing"
                return True

            await eventually(is_noticed, within=PATIENCE, every=0.2)


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
