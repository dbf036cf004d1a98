"""What Prometheus is told to scrape exists, and alerts ask for metrics that programs have."""

import promql_parser
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from sentops_core.http.metrics import HttpMetrics
from sentops_model_server.metrics import ModelMetrics
from sentops_monitor.metrics import MonitorMetrics, QualityCollector
from sentops_operator.metrics import OperatorMetrics
from sentops_operator.object_cache import ObjectCache
from sentops_operator.work_queue import WorkQueue
from sentops_trainer.metrics import ConvergeMetrics, MlflowFigures
from sentops_web.metrics import WebMetrics
from tests.charts.cases import CASES
from tests.charts.objects import matches, pods_of
from tests.support.helm import Helm, Manifest, Rendered


@pytest.fixture(scope="module")
def rendered(helm: Helm) -> Rendered:
    return helm.template(CASES["metrics"])


def known_metrics() -> dict[str, set[str]]:
    """Every series of ours, with its own labels."""
    registry = CollectorRegistry()
    for family in (
        HttpMetrics,
        ModelMetrics,
        MonitorMetrics,
        ConvergeMetrics,
        WebMetrics,
    ):
        family.on(registry)
    OperatorMetrics.on(registry, ObjectCache(), WorkQueue())
    registry.register(QualityCollector(lambda: None))
    registry.register(MlflowFigures())
    series: dict[str, set[str]] = {}
    for collector in registry._collector_to_names:
        # Those that are made when somebody scrapes describe nothing beforehand.
        described = getattr(collector, "describe", collector.collect)
        for metric in described():
            labels = getattr(collector, "_labelnames", None) or getattr(metric, "_labelnames", ())
            series |= {name: set(labels) for name in _series(metric)}
    return series


def _series(metric: Metric) -> set[str]:
    match metric.type:
        case "counter":
            return {f"{metric.name}_total"}
        case "histogram":
            return {f"{metric.name}_{part}" for part in ("bucket", "count", "sum")}
    return {metric.name}


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


def test_alerts_ask_for_metrics_and_labels_that_programs_have(rendered: Rendered) -> None:
    known = known_metrics()
    # What Prometheus adds to whatever it scrapes in a cluster.
    added = {"namespace", "job", "pod"}
    for rule in rules_of(rendered):
        asked = selectors(promql_parser.parse(rule["expr"]))
        assert asked, rule["alert"]
        for one in asked:
            assert one.name in known, f"{rule['alert']} asks for {one.name}"
            labels = {matcher.name for matcher in one.matchers.matchers}
            assert labels - added <= known[one.name], rule["alert"]
            assert "namespace" in labels  # two releases in one cluster are apart


def test_every_alert_says_what_happens_and_what_to_do(rendered: Rendered) -> None:
    alerts = rules_of(rendered)
    assert len({rule["alert"] for rule in alerts}) == len(alerts)
    for rule in alerts:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}
        assert "{{ " not in rule["annotations"]["summary"].replace("{{ $labels.", "")


def test_thresholds_of_quality_are_values(helm: Helm) -> None:
    values = {"metrics": {"rules": {"enabled": True, "minimumAccuracy": 0.85, "minimumVotes": 9}}}
    (rule,) = [one for one in rules_of(helm.template(values)) if "Quality" in one["alert"]]
    assert "< 0.85" in rule["expr"]
    assert ">= 9" in rule["expr"]


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
