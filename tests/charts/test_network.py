"""Who reaches whom, by the rules of NetworkPolicies: what must talk can, and nothing else."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest

from tests.charts.cases import CASES
from tests.charts.objects import matches, pods_of
from tests.support.helm import Helm, Manifest, Rendered

WORLD = "outside"


@dataclass(frozen=True)
class End:
    """A pod, or somebody outside the cluster."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()
    namespace: str = "platform"

    def fits(self, peer: Manifest, namespace: str) -> bool:
        """As a peer in a policy of `namespace`."""
        if "ipBlock" in peer:
            return self.name == WORLD
        if self.name == WORLD:
            return False
        if "namespaceSelector" in peer:
            labels = {"kubernetes.io/metadata.name": self.namespace}
            if not matches(peer["namespaceSelector"], labels):
                return False
        elif self.namespace != namespace:
            return False
        return matches(peer.get("podSelector", {}), dict(self.labels))


def ends(rendered: Rendered, *others: End) -> dict[str, End]:
    found = {
        made.component: End(made.component, tuple(made.labels.items()))
        for made in pods_of(rendered)
    }
    for name, component in (("sentops-run", "run"), ("sentops-model", "model")):
        labels = {
            "app.kubernetes.io/name": name,
            "app.kubernetes.io/managed-by": "sentops-operator",
        }
        found[component] = End(component, tuple(labels.items()))
    found["stranger"] = End("stranger", (("app", "stranger"),))
    found[WORLD] = End(WORLD)
    return found | {one.name: one for one in others}


def allowed(rendered: Rendered, direction: str, at: End, other: End, port: int) -> bool:
    """Whether the policies over `at` let it talk with `other`; no policy over it lets everything pass."""
    if at.name == WORLD:
        return True
    policies = [
        one
        for one in rendered.of_kind("NetworkPolicy")
        if one["metadata"]["namespace"] == at.namespace
        and matches(one["spec"]["podSelector"], dict(at.labels))
        and direction.capitalize() in one["spec"]["policyTypes"]
    ]
    if not policies:
        return True
    side = "from" if direction == "ingress" else "to"
    return any(
        (side not in rule or any(other.fits(peer, at.namespace) for peer in rule[side]))
        and ("ports" not in rule or port in {one["port"] for one in rule["ports"]})
        for policy in policies
        for rule in policy["spec"].get(direction) or ()
    )


def may(rendered: Rendered, source: End, target: End, port: int) -> bool:
    return allowed(rendered, "egress", source, target, port) and allowed(
        rendered, "ingress", target, source, port
    )


PORTS = {
    "web": 8000,
    "backoffice": 8001,
    "monitor": 8003,
    "operator": 8080,
    "model": 8501,
    "trainer": 8502,
    "postgresql": 5432,
}
TALK = {
    ("web", "trainer"),
    ("web", "model"),
    ("web", "postgresql"),
    ("backoffice", "trainer"),
    ("backoffice", "postgresql"),
    ("trainer", "postgresql"),
    ("monitor", "postgresql"),
    ("migrate", "postgresql"),
    ("run", "operator"),
    ("test", "web"),
    ("stranger", "web"),
    (WORLD, "web"),
}


def reached(rendered: Rendered) -> set[tuple[str, str]]:
    there = ends(rendered)
    if "migrate" not in there:
        labels = dict(there["web"].labels) | {"app.kubernetes.io/component": "migrate"}
        there["migrate"] = End("migrate", tuple(labels.items()))
    return {
        (source, target)
        for source, (target, port) in product(there, PORTS.items())
        # Jobs of the operator's image that run after the policies are gone.
        if source not in {target, "cleanup"} and target in there
        if may(rendered, there[source], there[target], port)
    }


def test_only_what_must_talk_can(helm: Helm) -> None:
    assert reached(helm.template()) == TALK


def test_an_exposed_back_office_is_reached_from_outside(helm: Helm) -> None:
    more = {("stranger", "backoffice"), (WORLD, "backoffice")}
    # Browsers come from anywhere; so might web and runs, but those may not leave for it.
    assert reached(helm.template(CASES["ingress"])) == TALK | more


def test_outside_can_be_the_ingress_controller_alone(helm: Helm) -> None:
    controller = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}
    }
    rendered = helm.template(CASES["ingress"] | {"networkPolicy": {"outsideFrom": [controller]}})
    there = ends(rendered, End("controller", (("app", "nginx"),), "ingress-nginx"))
    for program in ("web", "backoffice"):
        port = PORTS[program]
        assert may(rendered, there["controller"], there[program], port)
        assert not may(rendered, there["stranger"], there[program], port)
        assert not may(rendered, there[WORLD], there[program], port)
    assert may(rendered, there["test"], there["web"], 8000)


def test_prometheus_reaches_all_that_it_scrapes_and_nobody_else_does(helm: Helm) -> None:
    rendered = helm.template(CASES["metrics"])
    there = ends(rendered, End("prometheus", (("app", "prometheus"),), "monitoring"))
    for program in set(PORTS) - {"postgresql"}:
        assert may(rendered, there["prometheus"], there[program], PORTS[program]), program
    assert not may(rendered, there["prometheus"], there["postgresql"], 5432)
    assert not may(rendered, there["stranger"], there["trainer"], 8502)


def test_without_scraping_no_metrics_leave(helm: Helm) -> None:
    rendered = helm.template()
    prometheus = End("prometheus", (("app", "prometheus"),), "monitoring")
    there = ends(rendered)
    assert not may(rendered, prometheus, there["monitor"], 8003)
    assert not may(rendered, prometheus, there["model"], 8501)


@pytest.mark.parametrize("program", ["operator", "trainer"])
def test_what_has_a_token_reaches_the_api_server(helm: Helm, program: str) -> None:
    rendered = helm.template()
    there = ends(rendered)
    for port in (443, 6443):
        assert may(rendered, there[program], there[WORLD], port)


@pytest.mark.parametrize("program", ["web", "monitor", "model", "postgresql", "backoffice"])
def test_what_needs_nothing_outside_stays_inside(helm: Helm, program: str) -> None:
    rendered = helm.template()
    there = ends(rendered)
    for port in (80, 443, 5432, 6443):
        assert not may(rendered, there[program], there[WORLD], port)


def test_everybody_may_ask_for_names_but_the_database(helm: Helm) -> None:
    rendered = helm.template()
    there = ends(rendered)
    dns = End("dns", (("k8s-app", "kube-dns"),), "kube-system")
    for name in set(there) - {"postgresql", "stranger", WORLD}:
        assert may(rendered, there[name], dns, 53), name
    assert not may(rendered, there["postgresql"], dns, 53)


def test_runs_reach_each_other_and_the_hubs(helm: Helm) -> None:
    rendered = helm.template()
    there = ends(rendered)
    assert may(rendered, there["run"], there["run"], 29500)
    assert may(rendered, there["run"], there[WORLD], 443)
    assert not may(rendered, there["run"], there[WORLD], 80)
    closed = helm.template({"networkPolicy": {"hubs": {"cidrs": []}}})
    assert not may(closed, there["run"], there[WORLD], 443)


@pytest.mark.parametrize(
    ("program", "reaches"),
    [("run", True), ("model", True), ("backoffice", True), ("trainer", True), ("web", False)],
)
def test_a_bucket_is_reached_by_what_reads_it(helm: Helm, program: str, reaches: bool) -> None:
    rendered = helm.template(CASES["artefacts in a bucket"])
    there = ends(rendered)
    assert may(rendered, there[program], there[WORLD], 9000) is reaches


def test_a_database_outside_is_reached_by_what_reads_it(helm: Helm) -> None:
    rendered = helm.template(CASES["external database"])
    there = ends(rendered)
    for program in ("web", "backoffice", "trainer", "monitor", "migrate"):
        assert may(rendered, there[program], there[WORLD], 5432), program
    for program in ("operator", "run", "model"):
        assert not may(rendered, there[program], there[WORLD], 5432), program


def test_runs_of_other_namespaces_report_to_the_operator(helm: Helm) -> None:
    rendered = helm.template(CASES["several namespaces"])
    there = ends(rendered)
    run, elsewhere = (
        End("run", there["run"].labels, namespace) for namespace in ("team-a", "team-z")
    )
    assert may(rendered, run, there["operator"], 8080)
    assert not allowed(rendered, "ingress", there["operator"], elsewhere, 8080)
    assert not may(rendered, run, there["trainer"], 8502)
    everywhere = helm.template(CASES["all namespaces"])
    assert may(everywhere, elsewhere, there["operator"], 8080)


def test_policies_can_be_left_to_somebody_else(helm: Helm) -> None:
    values: dict[str, Any] = {"networkPolicy": {"enabled": False}}
    assert helm.template(values).of_kind("NetworkPolicy") == []


def test_an_mlflow_is_reached_by_the_trainer_alone(helm: Helm) -> None:
    rendered = helm.template(CASES["an MLflow"])
    mlflow = End("mlflow", (("app", "mlflow"),), "mlops")
    there = ends(rendered)
    for program in ("trainer", "web", "backoffice", "monitor", "operator", "model", "run"):
        assert may(rendered, there[program], mlflow, 5000) is (program == "trainer"), program
    without = helm.template()
    assert not may(without, ends(without)["trainer"], mlflow, 5000)


def test_a_collector_of_traces_is_reached_by_whoever_answers_requests(helm: Helm) -> None:
    rendered = helm.template(CASES["a collector of traces"])
    collector = End("collector", (("app", "collector"),), "traces")
    there = ends(rendered)
    for program in ("web", "backoffice", "trainer", "monitor", "model"):
        assert may(rendered, there[program], collector, 4318), program
    for program in ("operator", "run"):
        assert not may(rendered, there[program], collector, 4318), program
    without = helm.template()
    assert not may(without, ends(without)["web"], collector, 4318)


def test_the_back_office_reaches_the_certificate_that_it_watches(helm: Helm) -> None:
    proxy = End("proxy", (), "edge")
    for host, port in (("ask.example.com", 443), ("ask.example.com:8443", 8443)):
        rendered = helm.template({"backoffice": {"settings": {"certificateHost": host}}})
        assert may(rendered, ends(rendered)["backoffice"], proxy, port)
        assert not may(rendered, ends(rendered)["web"], proxy, port)
        assert not may(rendered, ends(rendered)["backoffice"], proxy, 8444)
    without = helm.template()
    assert not may(without, ends(without)["backoffice"], proxy, 443)


def test_where_mlflow_is_can_be_said(helm: Helm) -> None:
    mlops = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "mlops"}}}
    rendered = helm.template(
        CASES["an MLflow"] | {"networkPolicy": {"mlflow": {"to": [mlops], "ports": [8080]}}}
    )
    trainer = ends(rendered)["trainer"]
    assert may(rendered, trainer, End("mlflow", (), "mlops"), 8080)
    assert not may(rendered, trainer, End("mlflow", (), "mlops"), 5000)
    assert not may(rendered, trainer, End("other", (), "elsewhere"), 8080)
