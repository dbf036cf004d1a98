"""Grafana's own alert rules: files as Grafana reads them, statements on a real PostgreSQL as the role that only reads."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from sentops_core.store.pool import Connection, open_connection
from sentops_core.store.predictions import Predictions
from tests.compose.composition import composition, settings
from tests.grafana.test_rules import ALERTS, RECORDS
from tests.support.grafana_data import Prepared, prepared_server
from tests.support.grafana_provisioning import (
    AlertRule,
    NotificationsFile,
    RulesFile,
    variables_of,
)
from tests.support.grafana_sql import Asked
from tests.support.rows import a_prediction

FOLDER = Path(__file__).parents[2] / "grafana/provisioning/alerting"
RULES_TEXT = (FOLDER / "rules.yaml").read_text()
RULES = {
    rule.title: rule
    for group in RulesFile.model_validate(yaml.safe_load(RULES_TEXT)).groups
    for rule in group.rules
}
NOTIFICATIONS = NotificationsFile.model_validate(
    yaml.safe_load((FOLDER / "notifications.yaml").read_text())
)


def now() -> datetime:
    return datetime.now(UTC)


def this_hour() -> datetime:
    return now().replace(minute=0, second=0, microsecond=0)


# ---- the files


def test_there_are_no_other_files_and_nothing_is_named_twice() -> None:
    assert {file.name for file in FOLDER.iterdir()} == {"rules.yaml", "notifications.yaml"}
    assert len({rule.uid for rule in RULES.values()}) == len(RULES) == RULES_TEXT.count("title:")


@pytest.mark.parametrize("spoilt", ["tittle", "noDataSate", "rawSQL", "reducerr"])
def test_a_misspelt_key_is_found(spoilt: str) -> None:
    right = {
        "tittle": "title",
        "noDataSate": "noDataState",
        "rawSQL": "rawSql",
        "reducerr": "reducer",
    }
    with pytest.raises(ValidationError):
        RulesFile.model_validate(
            yaml.safe_load(RULES_TEXT.replace(f"{right[spoilt]}:", f"{spoilt}:"))
        )


@pytest.mark.parametrize("name", RULES)
def test_an_alert_is_the_same_here_and_in_prometheus(name: str) -> None:
    rule, other = RULES[name], ALERTS[name]
    assert rule.labels == other["labels"]
    assert (
        rule.for_ == other.get("for", "0s") or name == "SentopsDrift"
    )  # whose statement looks back
    assert rule.no_data_state == "OK"  # a fresh install has none
    assert set(rule.annotations) == set(other["annotations"])
    assert rule.annotations["runbook"] == other["annotations"]["runbook"]
    # Grafana's root is below the back office's site.
    assert (
        rule.annotations["runbook_url"]
        == "{{ externalURL }}.." + other["annotations"]["runbook_url"]
    )
    assert {query.datasource_uid for query in rule.data} == {"sentops-postgresql", "__expr__"}


def test_the_floor_and_the_votes_it_takes_are_those_of_prometheus() -> None:
    def number(record: str) -> float:
        return float(RECORDS[record]["expr"].removeprefix("vector(").removesuffix(")"))

    assert RULES["SentopsQualityLow"].threshold.params == [number("sentops:quality_floor")]
    for name in ("SentopsQualityLow", "SentopsQualityDropped"):
        (votes,) = re.findall(r"votes >= (\d+)", RULES[name].sql)
        assert float(votes) == number("sentops:quality_votes_minimum")


def test_policies_lead_to_contact_points_that_there_are() -> None:
    (policy,) = NOTIFICATIONS.policies
    assert policy.receivers == {point.name for point in NOTIFICATIONS.contact_points}
    severities = {rule.labels["severity"] for rule in RULES.values()}
    for route in policy.routes:
        for label, _, value in route.object_matchers:
            assert label == "severity"
            assert value in severities


def test_what_notifications_take_from_the_environment_compose_gives() -> None:
    text = (FOLDER / "notifications.yaml").read_text()
    given = composition(settings())["grafana"].environment
    assert variables_of(text) - {"GRAFANA_MAILS"} == {"ALERT_EMAIL_TO"}
    assert (
        given["ALERT_EMAIL_TO"] == "nobody@localhost"
    )  # an empty one would keep Grafana from starting


# ---- the statements


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    with prepared_server(tmp_path_factory.mktemp("grafana")) as prepared:
        yield prepared


@pytest.fixture
async def owner(server: Prepared) -> AsyncIterator[Connection]:
    """Of a database that is empty."""
    connection = await open_connection(server.owner_url)
    try:
        await connection.execute(
            "TRUNCATE predictions, feedback, quality_figures, drift_figures, routing, model_versions, training_jobs CASCADE"
        )
        yield connection
    finally:
        await connection.close()


@dataclass
class Platform:
    """Rows as the programs leave them; a test says only what it is about."""

    owner: Connection
    server: Prepared
    versions: list[str] = field(default_factory=list)

    async def version(
        self, name: str, *, phase: str = "Live", since: timedelta = timedelta(days=9)
    ) -> str:
        model, number = name.rsplit("-v", 1)
        self.versions.append(name)
        await self.owner.execute(
            """
            INSERT INTO model_versions (name, model_name, version, digest, spec, status, metadata, phase, created_by)
            VALUES ($1, $2, $3, $4, '{}', $5, '{}', $6, 'test')
            """,
            name,
            model,
            int(number),
            f"sha256:{len(self.versions)}",
            {"phaseStartedAt": (now() - since).isoformat()},
            phase,
        )
        return name

    async def serves(
        self,
        champion: str | None,
        *,
        previous: str | None = None,
        model: str = "m",
        since: timedelta = timedelta(days=9),
    ) -> None:
        await self.owner.execute(
            "INSERT INTO routing (model_name, revision, champion, previous_champion, variants, updated_at) VALUES ($1, 1, $2, $3, '[]', $4)",
            model,
            champion,
            previous,
            now() - since,
        )

    async def quality(
        self,
        version: str,
        window: str = "24h",
        *,
        votes: int = 100,
        answers: int = 1000,
        low: float | None = 0.5,
        high: float | None = 0.69,
        language: str = "all",
        ago: timedelta = timedelta(0),
    ) -> None:
        await self.owner.execute(
            """
            INSERT INTO quality_figures (model_version, time_window, language, hour, taken_at, answers, votes, accuracy_low, accuracy_high)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            """,
            version,
            window,
            language,
            this_hour() - ago,
            now() - ago,
            answers,
            votes,
            low,
            high,
        )

    async def drift(
        self, version: str, feature: str, hours: int, *, window: str = "24h", but: int | None = None
    ) -> None:
        """So many hours back, each drifted but one."""
        for ago in range(hours):
            at = this_hour() - timedelta(hours=ago)
            await self.owner.execute(
                """
                INSERT INTO drift_figures (model_version, time_window, feature, hour, taken_at, samples, reference_samples,
                                           distance, p_value, adjusted_p_value, drifted)
                VALUES ($1, $2, $3, $4, $4, 900, 900, 0.4, 0, 0, $5)
                """,
                version,
                window,
                feature,
                at,
                ago != but,
            )

    async def training(
        self, name: str, phase: str, *, ago: timedelta, reason: str = "RunFailed"
    ) -> None:
        status = {
            "completionTime": (now() - ago).isoformat(),
            "conditions": [{"type": "Failed", "status": "True", "reason": reason}]
            if phase == "Failed"
            else [],
        }
        await self.owner.execute(
            """
            INSERT INTO training_jobs (name, spec, status, metadata, phase, model_name, created_by)
            VALUES ($1, '{}', $2, '{}', $3, 'm', 'test')
            """,
            name,
            status if phase != "Running" else {},
            phase,
        )

    async def answer(self, version: str) -> None:
        async with self.owner.transaction():
            await Predictions(self.owner).copy_in([a_prediction(now(), model_version=version)])

    async def raises(self, name: str) -> set[str]:
        """The labels that fire, as Grafana would find them."""
        reader = await open_connection(self.server.reader_url)
        try:
            rows = await reader.fetch(
                Asked(now() - timedelta(minutes=10), now()).sql(RULES[name].sql)
            )
        finally:
            await reader.close()
        return {labels for row in rows if (labels := fires(RULES[name], dict(row))) is not None}


def fires(rule: AlertRule, row: dict[str, Any]) -> str | None:
    """Reduced and compared; a time series has a time, labels that are texts, and one number."""
    assert isinstance(row.pop("time"), datetime)
    value = row.pop("value")
    assert isinstance(value, int | float)
    assert all(isinstance(label, str) for label in row.values())
    return " ".join(row.values()) if rule.is_raised_by(float(value)) else None


@pytest.fixture
def platform(owner: Connection, server: Prepared) -> Platform:
    return Platform(owner, server)


pg = pytest.mark.pg


@pg
@pytest.mark.parametrize("name", RULES)
async def test_a_fresh_install_raises_nothing(platform: Platform, name: str) -> None:
    assert await platform.raises(name) == set()
    # A first version is live, and nobody has voted or trained again.
    await platform.serves(await platform.version("m-v1"))
    await platform.answer("m-v1")
    await platform.quality("m-v1", votes=0, low=None, high=None)
    assert await platform.raises(name) == set()


@pg
async def test_quality_below_the_floor_is_raised_for_what_serves(platform: Platform) -> None:
    await platform.serves(await platform.version("m-v2"), previous=await platform.version("m-v1"))
    await platform.serves(await platform.version("week-v1"), model="week")
    await platform.serves(await platform.version("fine-v1"), model="fine")
    await platform.serves(await platform.version("few-v1"), model="few")
    await platform.serves(await platform.version("stale-v1"), model="stale")
    await platform.quality("m-v2", high=0.69)
    await platform.quality("m-v2", "7d", votes=900, high=0.9)  # the day counts
    await platform.quality("m-v1", high=0.2)  # serves no more
    await platform.quality("week-v1", votes=12, high=0.9)
    await platform.quality("week-v1", "7d", votes=60, high=0.6)
    await platform.quality("fine-v1", high=0.71)
    await platform.quality("fine-v1", high=0.3, language="it")
    await platform.quality("few-v1", votes=49, high=0.3)
    await platform.quality("few-v1", "28d", votes=490, high=0.3)
    await platform.quality("stale-v1", high=0.3, ago=timedelta(minutes=90))
    assert await platform.raises("SentopsQualityLow") == {"m-v2", "week-v1"}


@pg
async def test_the_newest_hour_counts(platform: Platform) -> None:
    await platform.serves(await platform.version("m-v1"))
    await platform.quality("m-v1", high=0.9)
    await platform.quality("m-v1", high=0.3, ago=timedelta(minutes=50))
    assert await platform.raises("SentopsQualityLow") == set()


@pg
async def test_a_version_that_is_surely_worse_than_the_one_before_it_is_raised(
    platform: Platform,
) -> None:
    for model, high, votes_before in (("worse", 0.8, 400), ("near", 0.86, 400), ("few", 0.8, 40)):
        await platform.serves(
            await platform.version(f"{model}-v2"),
            previous=await platform.version(f"{model}-v1"),
            model=model,
        )
        await platform.quality(f"{model}-v2", high=high)
        await platform.quality(f"{model}-v1", "28d", votes=votes_before, low=0.85, high=0.9)
    await platform.serves(await platform.version("first-v1"), model="first")
    await platform.quality("first-v1", high=0.5)
    assert await platform.raises("SentopsQualityDropped") == {"worse-v2"}


@pg
async def test_drift_that_lasts_is_raised_by_feature(platform: Platform) -> None:
    await platform.serves(await platform.version("m-v2"), previous=await platform.version("m-v1"))
    await platform.drift("m-v2", "language", 8)
    await platform.drift("m-v2", "length", 8, but=3)
    await platform.drift("m-v2", "labels", 3)
    await platform.drift("m-v2", "words", 8, window="1h")
    await platform.drift("m-v1", "language", 8)
    assert await platform.raises("SentopsDrift") == {"m-v2 language"}


@pg
@pytest.mark.parametrize(
    ("answers", "votes", "past_answers", "past_votes", "raised"),
    [
        (1000, 0, 28_000, 1400, True),
        (1000, 13, 28_000, 1400, False),  # a quarter is 12.5
        (100, 0, 28_000, 1400, False),  # five were expected: too few to say
        (90_000, 50, 118_000, 1400, False),  # a flood from somebody who never votes
        (5000, 0, 50_000, 0, False),  # nobody ever voted
    ],
)
async def test_feedback_that_collapsed_is_raised(
    platform: Platform, answers: int, votes: int, past_answers: int, past_votes: int, raised: bool
) -> None:
    await platform.version("m-v1")
    await platform.version("m-v2")
    await platform.quality("m-v2", "24h", answers=answers // 2, votes=votes)
    await platform.quality("m-v1", "24h", answers=answers - answers // 2, votes=0)
    await platform.quality("m-v1", "28d", answers=past_answers, votes=past_votes)
    assert (await platform.raises("SentopsFeedbackCollapsed") == {""}) is raised


@pg
async def test_a_failed_training_is_raised_until_one_succeeds(platform: Platform) -> None:
    await platform.training("a", "Succeeded", ago=timedelta(hours=9))
    await platform.training("b", "Failed", ago=timedelta(hours=8))
    await platform.training("c", "Failed", ago=timedelta(hours=1), reason="Cancelled")
    await platform.training("d", "Running", ago=timedelta(0))
    assert await platform.raises("SentopsTrainingFailed") == {""}
    await platform.training("e", "Rejected", ago=timedelta(minutes=5))  # the gate's answer is one
    assert await platform.raises("SentopsTrainingFailed") == set()


@pg
async def test_a_training_that_failed_days_ago_is_known(platform: Platform) -> None:
    await platform.training("a", "Failed", ago=timedelta(days=4))
    assert await platform.raises("SentopsTrainingFailed") == set()


@pg
async def test_a_model_that_answered_and_has_no_champion_is_raised(platform: Platform) -> None:
    for model in ("gone", "never", "just"):
        await platform.version(f"{model}-v1", phase="RolledBack")
    await platform.answer("gone-v1")
    await platform.answer("just-v1")
    await platform.serves(None, model="gone", since=timedelta(minutes=9))
    await platform.serves(None, model="never", since=timedelta(minutes=9))
    await platform.serves(None, model="just", since=timedelta(seconds=1))
    assert await platform.raises("SentopsNoModelLive") == {"gone"}


@pg
@pytest.mark.parametrize(
    ("failed_ago", "live_ago", "raised"),
    [
        (timedelta(hours=2), timedelta(days=9), True),  # a canary
        (timedelta(hours=2), timedelta(hours=2), True),  # the one before it returned
        (timedelta(hours=2), timedelta(hours=1), False),  # another went live since
        (timedelta(days=2), timedelta(days=9), False),
        (None, timedelta(days=9), False),
    ],
)
async def test_a_roll_out_that_failed_is_raised_for_a_day(
    platform: Platform, failed_ago: timedelta | None, live_ago: timedelta, raised: bool
) -> None:
    await platform.serves(await platform.version("m-v1", since=live_ago))
    if failed_ago is not None:
        await platform.version("m-v2", phase="Quarantined", since=failed_ago)
    assert (await platform.raises("SentopsRolloutFailed") == {""}) is raised


@pg
async def test_the_statements_find_what_the_programs_write(platform: Platform) -> None:
    """The documents that these tests write by hand are those of the domain's models."""
    from sentops_core.domain.resources import ModelVersionStatus, TrainingJobStatus

    assert "phaseStartedAt" in json.dumps(ModelVersionStatus(phase_started_at=now()).to_document())
    assert "completionTime" in json.dumps(TrainingJobStatus(completion_time=now()).to_document())
