"""Ways in from outside: an Ingress or routes of a Gateway, for web and for the back office."""

import pytest

from tests.charts.cases import CASES
from tests.support.helm import Helm, HelmRefusal


def test_nothing_is_exposed_by_itself(helm: Helm) -> None:
    rendered = helm.template()
    assert rendered.of_kind("Ingress", "HTTPRoute") == []
    assert {one["spec"].get("type", "ClusterIP") for one in rendered.of_kind("Service")} == {
        "ClusterIP"
    }


def test_an_ingress_leads_each_host_to_its_service(helm: Helm) -> None:
    rendered = helm.template(CASES["ingress"])
    ways = {}
    for one in rendered.of_kind("Ingress"):
        assert one["spec"]["ingressClassName"] == "nginx"
        (rule,) = one["spec"]["rules"]
        (path,) = rule["http"]["paths"]
        service = path["backend"]["service"]
        assert service["name"] in rendered.names("Service")
        assert service["port"] == {"name": "http"}
        (tls,) = one["spec"]["tls"]
        assert tls["hosts"] == [rule["host"]]
        ways[service["name"]] = (rule["host"], path["path"], tls["secretName"])
    assert ways == {
        "sentops-web": ("ask.example.com", "/", "ask-tls"),
        "sentops-backoffice": ("staff.example.com", "/backoffice", "staff-tls"),
    }


def test_annotations_of_one_host_go_over_those_of_all(helm: Helm) -> None:
    name = "nginx.ingress.kubernetes.io/proxy-body-size"
    values = CASES["ingress"] | {
        "ingress": CASES["ingress"]["ingress"]
        | {"backoffice": {"host": "staff.example.com", "annotations": {name: "100m"}}}
    }
    rendered = helm.template(values)
    sizes = {
        one["metadata"]["name"]: one["metadata"]["annotations"][name]
        for one in rendered.of_kind("Ingress")
    }
    assert sizes == {"sentops-web": "64m", "sentops-backoffice": "100m"}


def test_a_host_left_out_is_not_exposed(helm: Helm) -> None:
    values = {"ingress": {"enabled": True, "web": {"host": "ask.example.com"}}}
    assert helm.template(values).names("Ingress") == {"sentops-web"}


def test_routes_share_a_gateway_and_may_share_a_host(helm: Helm) -> None:
    rendered = helm.template(CASES["gateway"])
    ways = {}
    for one in rendered.of_kind("HTTPRoute"):
        assert one["spec"]["parentRefs"] == [{"name": "public", "namespace": "gateways"}]
        assert one["spec"]["hostnames"] == ["ask.example.com"]
        (rule,) = one["spec"]["rules"]
        (match,) = rule["matches"]
        (backend,) = rule["backendRefs"]
        service = rendered.one("Service", backend["name"])
        assert backend["port"] in {port["port"] for port in service["spec"]["ports"]}
        ways[backend["name"]] = match["path"]["value"]
    assert ways == {"sentops-web": "/", "sentops-backoffice": "/backoffice"}


def test_a_route_follows_the_port_of_the_service(helm: Helm) -> None:
    rendered = helm.template(CASES["gateway"] | {"web": {"service": {"port": 80}}})
    route = rendered.one("HTTPRoute", "sentops-web")
    assert route["spec"]["rules"][0]["backendRefs"][0]["port"] == 80


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"ingress": {"enabled": True}}, "set ingress.web.host"),
        (
            {"gateway": {"enabled": True, "web": {"host": "a.example.com"}}},
            "set gateway.parentRefs",
        ),
        (
            {
                "ingress": {"enabled": True, "web": {"host": "a.example.com"}},
                "gateway": {"enabled": True, "web": {"host": "a.example.com"}},
            },
            "enable one of them",
        ),
    ],
)
def test_half_a_way_is_refused(helm: Helm, values: dict[str, object], sentence: str) -> None:
    with pytest.raises(HelmRefusal, match=sentence):
        helm.template(values)
