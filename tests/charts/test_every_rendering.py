"""What holds however people install: the API server takes it, PodSecurity "restricted" admits it, and it fits together."""

import re

import kubernetes_validate
import pytest

from tests.charts.cases import CASES
from tests.charts.objects import PodOf, matches, pods_of, secret_references
from tests.support.helm import Helm, Rendered

# Kinds of others, whose schemas are not Kubernetes' own.
_FOREIGN = {
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "PodMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
}
_RECOMMENDED_LABELS = {
    f"app.kubernetes.io/{name}"
    for name in ("name", "instance", "component", "part-of", "managed-by", "version")
}
_CLUSTER_WIDE = {
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}


@pytest.fixture(params=CASES, scope="module")
def rendered(request: pytest.FixtureRequest, helm: Helm) -> Rendered:
    return helm.template(CASES[request.param])


def test_every_object_is_one_that_kubernetes_takes(rendered: Rendered) -> None:
    for one in rendered.manifests:
        if one["kind"] in _FOREIGN:
            assert one["apiVersion"] == _FOREIGN[one["kind"]]
        else:
            kubernetes_validate.validate(one, "1.36", strict=True)


def test_no_object_is_there_twice(rendered: Rendered) -> None:
    names = [
        (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"])
        for one in rendered.manifests
    ]
    assert len(names) == len(set(names))


def test_every_object_says_where_it_is_and_what_it_belongs_to(rendered: Rendered) -> None:
    for one in rendered.manifests:
        assert ("namespace" in one["metadata"]) is (one["kind"] not in _CLUSTER_WIDE), one
        assert _RECOMMENDED_LABELS | {"helm.sh/chart"} <= set(one["metadata"]["labels"])
        for value in one["metadata"]["labels"].values():
            assert re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", value), value


def test_every_pod_is_admitted_as_restricted(rendered: Rendered) -> None:
    for made in pods_of(rendered):
        security = made.spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(made.spec)
        for volume in made.spec.get("volumes", ()):
            assert set(volume) - {"name"} <= {"emptyDir", "configMap", "persistentVolumeClaim"}
        for container in made.containers:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, container["name"]


def test_programs_run_as_the_user_of_their_images(rendered: Rendered) -> None:
    for made in pods_of(rendered):
        user = 999 if made.component == "postgresql" else 10001
        security = made.spec["securityContext"]
        assert {security[key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {user}


def test_only_what_asks_the_api_server_has_a_token(rendered: Rendered) -> None:
    holders = {
        made.component for made in pods_of(rendered) if made.spec["automountServiceAccountToken"]
    }
    assert holders - {"cleanup"} == {"operator", "trainer"}
    for account in rendered.of_kind("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_no_service_becomes_environment(rendered: Rendered) -> None:
    # A Service called sentops-web would set SENTOPS_WEB_PORT, which is a setting of ours.
    assert all(made.spec["enableServiceLinks"] is False for made in pods_of(rendered))


def test_every_container_says_what_it_needs(rendered: Rendered) -> None:
    for made in pods_of(rendered):
        for container in made.containers:
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), made.name
            assert "memory" in container["resources"]["limits"], made.name
            assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_what_serves_is_probed(rendered: Rendered) -> None:
    for made in pods_of(rendered):
        for container in made.spec["containers"]:
            probes = {name for name in container if name.endswith("Probe")}
            assert probes == (
                {"startupProbe", "readinessProbe", "livenessProbe"} if made.serves else set()
            ), made.name
            ports = {port["name"] for port in container.get("ports", ())}
            for name in probes:
                probe = container[name]
                assert "exec" in probe or probe["httpGet"]["port"] in ports


def test_images_are_pinned_to_a_version(rendered: Rendered) -> None:
    for made in pods_of(rendered):
        for container in made.containers:
            image = container["image"]
            assert "@sha256:" in image or re.search(r":[^/:]+$", image), image
            assert not image.endswith(":latest")
            assert container["imagePullPolicy"] in {"Always", "IfNotPresent", "Never"}


def test_selectors_find_exactly_their_own_pods(rendered: Rendered) -> None:
    pods = [made for made in pods_of(rendered) if made.serves]
    for made in pods:
        selector = made.owner["spec"]["selector"]
        assert [one.name for one in pods if matches(selector, one.labels)] == [made.name]
        assert set(selector["matchLabels"]) == {
            "app.kubernetes.io/name",
            "app.kubernetes.io/instance",
            "app.kubernetes.io/component",
        }


def test_services_point_at_ports_that_exist(rendered: Rendered) -> None:
    for service in rendered.of_kind("Service"):
        selector = {"matchLabels": service["spec"]["selector"]}
        (made,) = [one for one in pods_of(rendered) if matches(selector, one.labels)]
        names = {port["name"] for one in made.containers for port in one.get("ports", ())}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names


def test_every_replica_set_of_web_has_its_headless_service(rendered: Rendered) -> None:
    for one in rendered.of_kind("StatefulSet"):
        assert one["spec"]["serviceName"] in rendered.names("Service")


def test_what_pods_refer_to_is_rendered_or_said_to_exist(rendered: Rendered) -> None:
    secrets = {one["metadata"]["name"]: set(one["data"]) for one in rendered.of_kind("Secret")} | {
        "ours": None,
        "database": None,
        "bucket": None,
    }
    claims = rendered.names("PersistentVolumeClaim") | {"shared", "bases"}
    for made in pods_of(rendered):
        assert made.spec["serviceAccountName"] in rendered.names("ServiceAccount")
        for secret, key in secret_references(made):
            keys = secrets[secret]
            assert keys is None or key is None or key in keys
        for volume in made.spec["volumes"]:
            if "configMap" in volume:
                assert volume["configMap"]["name"] in rendered.names("ConfigMap")
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims


def test_every_mount_has_its_volume_and_every_volume_its_mount(rendered: Rendered) -> None:
    for made in pods_of(rendered):
        templates = made.owner["spec"].get("volumeClaimTemplates", ())
        volumes = [one["name"] for one in made.spec["volumes"]]
        volumes += [one["metadata"]["name"] for one in templates]
        assert len(volumes) == len(set(volumes))
        mounted = {mount["name"] for one in made.containers for mount in one["volumeMounts"]}
        assert mounted == set(volumes), made.name


def test_every_pod_can_write_temporary_files(rendered: Rendered) -> None:
    for made in pods_of(rendered):
        scratch = {one["name"] for one in made.spec["volumes"] if "emptyDir" in one}
        for container in made.containers:
            mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
            assert mounts["/tmp"] in scratch


def test_no_variable_is_set_twice(rendered: Rendered) -> None:
    for made in pods_of(rendered):
        for container in made.containers:
            names = [one["name"] for one in container.get("env", ())]
            assert len(names) == len(set(names))
            assert all(one.get("value") != "" for one in container.get("env", ()))


def test_replicas_are_spread_and_may_be_drained(rendered: Rendered) -> None:
    for made in pods_of(rendered):
        replicas = made.owner["spec"].get("replicas", 2) if made.serves else 1
        if made.component == "operator" or replicas < 2:
            continue
        constraints = made.spec["topologySpreadConstraints"]
        assert {one["topologyKey"] for one in constraints} == {
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        }
        for one in constraints:
            assert matches(one["labelSelector"], made.labels)
        assert _budgets_of(rendered, made) == 1


def test_a_single_replica_has_no_budget(rendered: Rendered) -> None:
    for made in pods_of(rendered):
        if made.serves and made.owner["spec"].get("replicas") == 1:
            assert _budgets_of(rendered, made) == 0


def _budgets_of(rendered: Rendered, made: PodOf) -> int:
    if rendered.names("PodDisruptionBudget") == set() and made.owner["spec"]["replicas"] == 1:
        return 0
    return sum(
        matches(one["spec"]["selector"], made.labels)
        for one in rendered.of_kind("PodDisruptionBudget")
    )
