"""Dashboards ask for metrics and labels that programs have, by the catalogue that is held to the programs themselves."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain

import promql_parser
import pytest
import yaml

from tests.charts.test_metrics import selectors
from tests.support.grafana_files import NAMES, ROOT, dashboard
from tests.support.grafana_models import PromTarget
from tests.support.grafana_sql import Asked
from tests.support.metric_catalogue import known_series

RULES = ROOT / "grafana/rules"
_OF_PROMETHEUS: dict[str, set[str]] = {
    "up": set(),
    "ALERTS": {"alertname", "alertstate", "severity", "version"},
}
# Of the Python client, which every program has.
_OF_PROCESSES: dict[str, set[str]] = {
    "process_cpu_seconds_total": set(),
    "process_resident_memory_bytes": set(),
}
_OF_A_TARGET = {"job", "instance", "namespace", "pod"}
# Alerts ask them what is usual, and who the version before was.
_ONLY_CONDITIONS = {"sentops_previous_champion_info", "sentops_window_predictions"}
_MOMENT = datetime(2026, 11, 22, tzinfo=UTC)
_ASKED = Asked(
    _MOMENT, _MOMENT, {"model": "m", "version": ["m-v1"], "window": "24h", "language": "all"}
)


def records() -> dict[str, set[str]]:
    """What the rules record, with the labels that are left."""
    return {
        rule["record"]: grouped_by(promql_parser.parse(rule["expr"]))
        for file in RULES.glob("*.yaml")
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
        if "record" in rule
    }


def expressions(name: str) -> Iterator[tuple[str, promql_parser.Expr]]:
    for panel in dashboard(name).data_panels:
        for target in panel.targets:
            if isinstance(target, PromTarget):
                expression = _ASKED.promql(target.expr, rate_interval="1m")
                yield panel.title, promql_parser.parse(expression)


def grouped_by(node: object) -> set[str]:
    """Labels that anything is summed or matched by."""
    found: set[str] = set()
    modifier = getattr(node, "modifier", None)
    if modifier is not None:
        for part in (modifier, getattr(modifier, "matching", None)):
            found |= set(getattr(part, "labels", None) or ())
    for name in ("lhs", "rhs", "expr", "args"):
        part = getattr(node, name, None)
        parts = part if isinstance(part, list) else [part] if part is not None else []
        for one in parts:
            found |= grouped_by(one)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_and_label_that_is_asked_for_exists(name: str) -> None:
    known = known_series() | records() | _OF_PROMETHEUS | _OF_PROCESSES
    for title, expression in expressions(name):
        labels: set[str] = set()
        for one in selectors(expression):
            assert one.name in known, f"{title}: {one.name}"
            matched = {matcher.name for matcher in one.matchers.matchers}
            assert matched - _OF_A_TARGET <= known[one.name], f"{title}: {one.name}"
            labels |= known[one.name]
        assert grouped_by(expression) - _OF_A_TARGET <= labels, title


def test_labels_that_are_grouped_by_are_found() -> None:
    expression = promql_parser.parse(
        "sum by (phase) (a) / on (version) histogram_quantile(0.9, sum by (le, kind) (rate(b[1m])))"
    )
    assert grouped_by(expression) == {"phase", "version", "le", "kind"}


def test_what_the_alerts_compare_is_shown_somewhere() -> None:
    """Whoever gets a mail finds the figure on a dashboard."""
    shown = {
        one.name
        for _, expression in chain.from_iterable(expressions(name) for name in NAMES)
        for one in selectors(expression)
    }
    compared = {
        one.name
        for file in RULES.glob("*.yaml")
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
        for one in selectors(promql_parser.parse(rule["expr"]))
    }
    assert compared - shown == _ONLY_CONDITIONS
