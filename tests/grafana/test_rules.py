"""The rules of Prometheus: each alert complete, unit-tested by promtool both ways, and about metrics that there are."""

import re
import subprocess
from itertools import chain
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from tests.charts.test_metrics import selectors
from tests.compose.test_watching import jobs
from tests.support.metric_catalogue import known_series
from tests.support.prometheus import needs_prometheus

FOLDER = Path(__file__).parents[2] / "grafana/rules"
FILES = sorted(FOLDER.glob("*.yaml"))
TESTS = sorted((FOLDER / "tests").glob("*.yaml"))
FRESH = FOLDER / "tests/fresh_install.yaml"

Rule = dict[str, Any]


def groups() -> list[dict[str, Any]]:
    return [group for file in FILES for group in yaml.safe_load(file.read_text())["groups"]]


RULES: list[Rule] = [rule for group in groups() for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDS = {rule["record"]: rule for rule in RULES if "record" in rule}
# In a cluster alone; what the programs of one server are called is in Prometheus' configuration.
_OF_A_CLUSTER = {"operator"}


def promtool(*command: str | Path) -> None:
    answer = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@needs_prometheus
def test_promtool_reads_the_rules() -> None:
    promtool("check", "rules", *FILES)


@needs_prometheus
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_alerts_fire_and_do_not_fire_as_their_tests_say(file: Path) -> None:
    promtool("test", "rules", file)


def cases() -> dict[str, set[bool]]:
    """By alert: whether there is a case where it fires, and one where it does not."""
    found: dict[str, set[bool]] = {name: set() for name in ALERTS}
    for file in TESTS:
        for case in yaml.safe_load(file.read_text())["tests"]:
            for one in case.get("alert_rule_test", ()):
                found[one["alertname"]].add(bool(one["exp_alerts"]))
    return found


def test_every_alert_has_a_case_where_it_fires_and_one_where_it_does_not() -> None:
    assert {name: seen for name, seen in cases().items() if seen != {True, False}} == {}


def test_the_test_of_a_fresh_install_loads_every_rule() -> None:
    loaded = {
        (FRESH.parent / one).resolve() for one in yaml.safe_load(FRESH.read_text())["rule_files"]
    }
    assert loaded == set(FILES)


def test_names_are_said_once() -> None:
    names = [group["name"] for group in groups()]
    assert len(set(names)) == len(names)
    assert len(ALERTS) + len(RECORDS) == len(RULES)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_it_is_what_happens_and_where_to_read_on(name: str) -> None:
    rule = ALERTS[name]
    assert re.fullmatch(r"Sentops[A-Z][A-Za-z]+", name)
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert set(rule["labels"]) == {"severity"}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    # Without `for`: those that count events, which are over in no time.
    assert "for" in rule or re.search(r"increase\(|timestamp_seconds", rule["expr"])
    annotations = dict(rule["annotations"])
    assert annotations.pop("runbook") == f"grafana/runbook.md#{name.lower()}"
    assert annotations.pop("runbook_url") == f"/backoffice/runbook#{name.lower()}"
    assert set(annotations) == {"summary", "description"}
    assert re.fullmatch(r"\S.*[a-z}]\.", annotations["summary"])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert", rule.get("record")))
def test_a_rule_asks_for_metrics_and_labels_that_there_are(rule: Rule) -> None:
    known = known_series() | {record: {"job"} for record in RECORDS} | {"up": set()}
    asked = selectors(promql_parser.parse(rule["expr"]))
    assert asked or rule["expr"].startswith("vector(")
    for one in asked:
        assert one.name in known, one.name
        labels = {matcher.name for matcher in one.matchers.matchers}
        assert labels - {"job", "instance"} <= known[one.name], one.name


def test_every_record_is_asked_for() -> None:
    asked = chain.from_iterable(selectors(promql_parser.parse(rule["expr"])) for rule in RULES)
    assert set(RECORDS) - {one.name for one in asked} == set()


def test_programs_that_rules_name_are_scraped() -> None:
    for rule in RULES:
        for pattern in re.findall(r'job!?=~?"([^"]+)"', rule["expr"]):
            assert set(pattern.split("|")) <= set(jobs()) | _OF_A_CLUSTER, rule
