"""What Prometheus is told to scrape exists, and alerts ask for metrics that programs have."""

import subprocess
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from tests.charts.cases import CASES
from tests.charts.objects import matches, pods_of
from tests.support.helm import CHART, Helm, Manifest, Rendered
from tests.support.prometheus import needs_prometheus

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def rendered(helm: Helm) -> Rendered:
    return helm.template(CASES["metrics"])


def rules_of(rendered: Rendered) -> list[Manifest]:
    (one,) = rendered.of_kind("PrometheusRule")
    return [rule for group in one["spec"]["groups"] for rule in group["rules"]]


def selectors(node: object) -> list[promql_parser.VectorSelector]:
    if isinstance(node, promql_parser.VectorSelector):
        return [node]
    if isinstance(node, promql_parser.MatrixSelector):
        return selectors(node.vector_selector)
    found = []
    for name in ("lhs", "rhs", "expr", "args"):
        part = getattr(node, name, None)
        parts = part if isinstance(part, list) else [part] if part is not None else []
        for one in parts:
            found += selectors(one)
    return found


def originals() -> list[Manifest]:
    files = sorted((ROOT / "grafana/rules").glob("*.yaml"))
    return [
        rule
        for file in files
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    ]


def test_the_rules_are_those_of_one_server(rendered: Rendered) -> None:
    """Links to the only copy; what they say is tested in tests/grafana."""
    links = list((CHART / "files/rules").iterdir())
    assert {link.name for link in links} == {
        one.name for one in (ROOT / "grafana/rules").glob("*.yaml")
    }
    for link in links:
        assert link.is_symlink()
        assert not Path(link.readlink()).is_absolute()
        assert link.resolve().parent == ROOT / "grafana/rules"
    made = rules_of(rendered)
    assert [one.get("alert", one.get("record")) for one in made] == [
        one.get("alert", one.get("record")) for one in originals()
    ]
    for one, original in zip(made, originals(), strict=True):
        assert (
            one["expr"].replace('namespace="platform", ', "").replace('namespace="platform"', "")
            == original["expr"]
        )
        assert one.get("for") == original.get("for")


def test_rules_ask_for_this_release_alone(rendered: Rendered) -> None:
    for rule in rules_of(rendered):
        asked = selectors(promql_parser.parse(rule["expr"]))
        assert asked or rule["labels"] == {"namespace": "platform"}, rule
        for one in asked:
            (matcher,) = [one for one in one.matchers.matchers if one.name == "namespace"]
            assert matcher.value == "platform"


def test_every_alert_leads_to_the_runbook_of_the_back_office(helm: Helm) -> None:
    def links(**values: Any) -> set[str]:
        made = helm.template({"metrics": {"rules": {"enabled": True}}, **values})
        urls = [one["annotations"]["runbook_url"] for one in rules_of(made) if "alert" in one]
        return {url.split("/backoffice/runbook#")[0] for url in urls}

    assert links() == {"http://sentops-backoffice.platform.svc:8001"}
    host = {"host": "sentiment.example.org", "tlsSecret": "certificate"}
    ingress = {"enabled": True, "web": host, "backoffice": host}
    assert links(ingress=ingress) == {"https://sentiment.example.org"}


def test_thresholds_are_values(helm: Helm) -> None:
    thresholds = {
        "qualityFloor": 0.85,
        "qualityVotesMinimum": 9,
        "errorRatioLimit": 0.5,
        "latencyLimitSeconds": 2.5,
        "backupAgeLimitSeconds": 86400,
    }
    values = {"metrics": {"rules": {"enabled": True, "thresholds": thresholds}}}
    made = {
        rule["record"]: rule["expr"]
        for rule in rules_of(helm.template(values))
        if rule["expr"].startswith("vector(")
    }
    assert made == {
        "sentops:quality_floor": "vector(0.85)",
        "sentops:quality_votes_minimum": "vector(9)",
        "sentops:error_ratio_limit": "vector(0.5)",
        "sentops:latency_limit_seconds": "vector(2.5)",
        "sentops:backup_age_limit_seconds": "vector(86400)",
    }


def test_thresholds_are_the_same_here_and_on_one_server(rendered: Rendered) -> None:
    def numbers(rules: list[Manifest]) -> dict[str, float]:
        return {
            rule["record"]: float(rule["expr"].removeprefix("vector(").removesuffix(")"))
            for rule in rules
            if rule["expr"].startswith("vector(")
        }

    assert numbers(rules_of(rendered)) == numbers(originals())


@needs_prometheus
def test_promtool_reads_what_the_chart_renders(rendered: Rendered, tmp_path: Path) -> None:
    (one,) = rendered.of_kind("PrometheusRule")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": one["spec"]["groups"]}))
    command = ["promtool", "check", "rules", tmp_path / "rules.yaml"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_every_program_is_scraped_once(rendered: Rendered) -> None:
    (monitor,) = rendered.of_kind("ServiceMonitor")
    scraped = []
    for service in rendered.of_kind("Service"):
        if matches(monitor["spec"]["selector"], service["metadata"]["labels"]):
            selector = {"matchLabels": service["spec"]["selector"]}
            scraped += [
                made.component for made in pods_of(rendered) if matches(selector, made.labels)
            ]
            assert "http" in {port["name"] for port in service["spec"]["ports"]}
    assert sorted(scraped) == ["backoffice", "monitor", "operator", "trainer", "web"]
    assert monitor["spec"]["endpoints"] == [{"port": "http", "path": "/metrics", "interval": "30s"}]


def test_model_servers_are_scraped_wherever_the_operator_makes_them(helm: Helm) -> None:
    def where(case: str) -> Manifest:
        values = CASES[case] | {"metrics": {"enabled": True}}
        (monitor,) = helm.template(values).of_kind("PodMonitor")
        found: Manifest = monitor["spec"]["namespaceSelector"]
        return found

    assert where("defaults") == {"matchNames": ["platform"]}
    assert where("several namespaces") == {"matchNames": ["platform", "team-a", "team-b"]}
    assert where("all namespaces") == {"any": True}


def test_what_prometheus_selects_by_can_be_said(rendered: Rendered) -> None:
    for one in rendered.of_kind("ServiceMonitor", "PodMonitor", "PrometheusRule"):
        assert one["metadata"]["labels"]["release"] == "prometheus"


def test_a_cluster_without_the_prometheus_operator_needs_none_of_it(helm: Helm) -> None:
    kinds = ("ServiceMonitor", "PodMonitor", "PrometheusRule")
    assert helm.template().of_kind(*kinds) == []
