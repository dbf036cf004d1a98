"""Every PromQL of the dashboards on a real Prometheus that scrapes our real programs."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import promql_parser
import pytest

from tests.charts.test_metrics import selectors
from tests.support.demo_models import MODEL
from tests.support.grafana_files import NAMES, dashboard
from tests.support.grafana_models import DataPanel, PromTarget, Table
from tests.support.grafana_programs import Watched, watched_programs
from tests.support.grafana_sql import Asked
from tests.support.postgres import copied_database
from tests.support.prometheus import needs_prometheus

pytestmark = [pytest.mark.pg, needs_prometheus, pytest.mark.timeout(400)]

RATE_INTERVAL = "15s"  # with a scrape each second
# What the platform of this test has nothing to say of; a name that nobody exports at all is found by test_metric_names.py.
SAYS_NOTHING = {
    "sentops_estimated_accuracy_ratio": "the demo's confidence is made up, so nothing is estimated from it",
    "sentops:previous_quality_low_ratio": "the version before has too few votes in four weeks",
    "sentops:http_errors:ratio_rate10m": "no request has failed",
    "sentops_no_champion_since_timestamp_seconds": "a version is live",
    "sentops_web_shadow_texts_total": "no version is in the shadow",
    "sentops_model_late_texts_total": "every text has time enough",
    "sentops_training_progress_ratio": "no training runs",
    "sentops_training_last_progress_timestamp_seconds": "no training runs",
    "sentops_certificate_expiry_timestamp_seconds": "there is no edge",
    "sentops_monitor_failures_total": "no round of the monitor fails",
    "sentops_mlflow_behind": "there is no MLflow",
    "sentops_mirror_rounds_total": "there is no cluster",
    "sentops_mirror_last_round_timestamp_seconds": "there is no cluster",
}
# Of these, what is shown is gone with what is compared.
_FILTER = re.compile(r"==|> 0")


@dataclass(frozen=True)
class Answer:
    """Of one target: the labels of each series, and the metrics it asked for that nobody has said anything of."""

    series: Sequence[Mapping[str, str]]
    silent: set[str]


def targets(name: str) -> Iterator[tuple[DataPanel, PromTarget]]:
    for panel in dashboard(name).data_panels:
        for target in panel.targets:
            if isinstance(target, PromTarget):
                yield panel, target


PROMQL = [
    pytest.param(name, panel, target, id=f"{name}: {panel.title} {target.ref_id}")
    for name in NAMES
    for panel, target in targets(name)
]


@pytest.fixture(scope="module")
def answers(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: str, postgres_template: str
) -> dict[str, Answer]:
    """By expression; asked while the programs have something to do."""
    found: dict[str, Answer] = {}
    for url in copied_database(postgres_server, postgres_template):
        with watched_programs(tmp_path_factory.mktemp("watched"), url) as watched:
            names = watched.prometheus.metric_names()
            for name in NAMES:
                for _, target in targets(name):
                    found[target.expr] = answer(watched, target, names)
    return found


def answer(watched: Watched, target: PromTarget, known: set[str]) -> Answer:
    moment = datetime.now(UTC)
    demo = watched.site.demo
    variables = {
        "model": MODEL,
        "version": [demo.champion, demo.candidate],
        "window": "28d",
        "language": "all",
    }
    expression = Asked(moment, moment, variables).promql(target.expr, rate_interval=RATE_INTERVAL)
    silent = {one.name for one in selectors(promql_parser.parse(expression))} - known
    now = time.time()
    if target.range:
        ranges = watched.prometheus.query_range(expression, now - 60, now, "5s")
        return Answer([labels for labels, _ in ranges], silent)
    return Answer([sample.labels for sample in watched.prometheus.query(expression)], silent)


@pytest.mark.parametrize(("name", "panel", "target"), PROMQL)
def test_it_is_answered(
    answers: dict[str, Answer], name: str, panel: DataPanel, target: PromTarget
) -> None:
    """By Prometheus without an error, and with something to see wherever the programs said something."""
    got = answers[target.expr]
    assert got.silent <= set(SAYS_NOTHING)
    assert got.series or got.silent or _FILTER.search(target.expr)


@pytest.mark.parametrize(("name", "panel", "target"), PROMQL)
def test_names_of_series_are_labels_that_they_have(
    answers: dict[str, Answer], name: str, panel: DataPanel, target: PromTarget
) -> None:
    wanted = set(re.findall(r"\{\{(\w+)\}\}", target.legend_format))
    for labels in answers[target.expr].series:
        assert wanted <= set(labels)


@pytest.mark.parametrize(("name", "panel", "target"), PROMQL)
def test_series_that_are_shown_together_have_different_names(
    answers: dict[str, Answer], name: str, panel: DataPanel, target: PromTarget
) -> None:
    if target.legend_format == "__auto":
        return
    named = [
        re.sub(r"\{\{(\w+)\}\}", lambda found: labels[found[1]], target.legend_format)  # noqa: B023
        for labels in answers[target.expr].series
    ]
    assert len(set(named)) == len(named)


@pytest.mark.parametrize(("name", "panel", "target"), PROMQL)
def test_tables_show_columns_that_the_answer_has(
    answers: dict[str, Answer], name: str, panel: DataPanel, target: PromTarget
) -> None:
    if not isinstance(panel, Table):
        return
    (organized,) = panel.transformations
    shown = set(organized.options.index_by_name) - {"Value"}
    series = answers[target.expr].series
    assert series
    assert shown <= set().union(*series)
