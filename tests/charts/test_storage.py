"""Where bytes lie: artefacts on a volume or in a bucket, the spool of each web, base models between runs."""

from typing import Any

import pytest

from sentops_core.artifacts.places import claim_of
from tests.charts.cases import CASES
from tests.charts.objects import PodOf, environment, matches, pod
from tests.support.helm import Helm, Manifest, Rendered


def mounts(made: PodOf, container: str) -> dict[str, Manifest]:
    return {one["mountPath"]: one for one in made.container(container)["volumeMounts"]}


def store_uri(rendered: Rendered, program: str) -> str:
    name = f"SENTOPS_{program.upper()}_STORE_URI"
    uri: str = environment(pod(rendered, program).container(program))[name]
    return uri


@pytest.mark.parametrize(
    ("case", "uri"),
    [
        ("defaults", "pvc://sentops-artifacts/store"),
        ("claims of one's own", "pvc://shared/store"),
        ("artefacts in a bucket", "s3://models/sentops"),
        ("a bucket by identity", "s3://models"),
    ],
)
def test_back_office_and_trainer_mean_the_same_store(helm: Helm, case: str, uri: str) -> None:
    rendered = helm.template(CASES[case])
    assert {store_uri(rendered, program) for program in ("backoffice", "trainer")} == {uri}


@pytest.mark.parametrize("case", ["defaults", "claims of one's own"])
def test_a_claim_is_mounted_where_its_address_says(helm: Helm, case: str) -> None:
    rendered = helm.template(CASES[case])
    claim = claim_of(store_uri(rendered, "backoffice"))
    for program in ("backoffice", "trainer"):  # both write datasets
        made = pod(rendered, program)
        mount = mounts(made, program)[f"/pvc/{claim}"]
        assert not mount.get("readOnly", False)
        (volume,) = [one for one in made.spec["volumes"] if one["name"] == mount["name"]]
        assert volume["persistentVolumeClaim"] == {"claimName": claim}


def test_a_bucket_needs_no_claim(helm: Helm) -> None:
    rendered = helm.template(CASES["artefacts in a bucket"])
    assert not rendered.of_kind("PersistentVolumeClaim")
    for program in ("backoffice", "trainer"):
        assert not any(path.startswith("/pvc") for path in mounts(pod(rendered, program), program))


def test_artefacts_outlive_the_release(helm: Helm) -> None:
    claims = {
        one["metadata"]["name"]: one["metadata"].get("annotations")
        for one in helm.template().of_kind("PersistentVolumeClaim")
    }
    assert claims == {"sentops-artifacts": {"helm.sh/resource-policy": "keep"}}


def test_sizes_classes_and_modes_are_values(helm: Helm) -> None:
    values: dict[str, Any] = {
        "artifacts": {
            "pvc": {"size": "1Ti", "storageClass": "nfs", "accessModes": ["ReadWriteMany"]}
        }
    }
    rendered = helm.template(values)
    assert rendered.one("PersistentVolumeClaim", "sentops-artifacts")["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "nfs",
        "resources": {"requests": {"storage": "1Ti"}},
    }


def test_a_volume_of_one_node_keeps_its_pods_on_that_node(helm: Helm) -> None:
    rendered = helm.template()
    readers = [pod(rendered, "backoffice"), pod(rendered, "trainer")]
    for made in readers:
        (term,) = made.spec["affinity"]["podAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]
        assert term["topologyKey"] == "kubernetes.io/hostname"
        # Each fits the other's term and its own: whoever is first may choose the node.
        assert all(matches(term["labelSelector"], one.labels) for one in readers)
    assert "affinity" not in pod(rendered, "web").spec


@pytest.mark.parametrize(
    "values",
    [
        CASES["large"],
        CASES["artefacts in a bucket"],
        {"artifacts": {"pvc": {"keepOnOneNode": False}}},
    ],
)
def test_nothing_else_ties_pods_to_one_node(helm: Helm, values: dict[str, Any]) -> None:
    rendered = helm.template(values)
    for program in ("backoffice", "trainer"):
        assert "affinity" not in pod(rendered, program).spec


def test_an_affinity_of_one_s_own_replaces_ours(helm: Helm) -> None:
    own = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}
    rendered = helm.template({"backoffice": {"pod": {"affinity": own}}})
    assert pod(rendered, "backoffice").spec["affinity"] == own
    assert "podAffinity" in pod(rendered, "trainer").spec["affinity"]


def test_every_web_has_a_spool_of_its_own_that_scaling_down_keeps(helm: Helm) -> None:
    web = helm.template({"web": {"replicas": 3}}).one("StatefulSet", "sentops-web")
    (claim,) = web["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "spool"
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert web["spec"]["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": "Retain",
        "whenScaled": "Retain",
    }


def test_the_spool_lies_on_its_volume(helm: Helm) -> None:
    container = pod(helm.template(), "web").container("web")
    assert environment(container)["SENTOPS_WEB_SPOOL_DIR"].startswith("/spool/")
    assert {"name": "spool", "mountPath": "/spool"} in container["volumeMounts"]


def test_a_trial_can_do_without_volumes_for_spools(helm: Helm) -> None:
    rendered = helm.template({"web": {"spool": {"persistent": False}}})
    assert "volumeClaimTemplates" not in rendered.one("StatefulSet", "sentops-web")["spec"]
    volumes = {one["name"]: one for one in pod(rendered, "web").spec["volumes"]}
    assert volumes["spool"]["emptyDir"] == {"sizeLimit": "1Gi"}


@pytest.mark.parametrize(
    ("values", "claim", "beside"),
    [
        ({}, None, "true"),
        ({"cache": {"existingClaim": "bases"}}, "bases", "true"),
        ({"cache": {"enabled": False}}, None, "false"),
    ],
)
def test_runs_keep_base_models_where_values_say(
    helm: Helm, values: dict[str, Any], claim: str | None, beside: str
) -> None:
    operator = environment(pod(helm.template(values), "operator").container("operator"))
    assert operator.get("SENTOPS_OPERATOR_CACHE_CLAIM") == claim
    assert operator["SENTOPS_OPERATOR_CACHE_BESIDE_OUTPUT"] == beside


def test_every_claim_of_the_release_is_mounted_by_one_of_its_pods(helm: Helm) -> None:
    """`helm install --wait` waits for claims, and many a storage class binds one when a pod asks for it."""
    rendered = helm.template()
    mounted = {
        volume["persistentVolumeClaim"]["claimName"]
        for program in ("backoffice", "trainer")
        for volume in pod(rendered, program).spec["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert rendered.names("PersistentVolumeClaim") <= mounted


def test_every_watched_namespace_has_what_runs_there_need(helm: Helm) -> None:
    rendered = helm.template(CASES["several namespaces"])
    for namespace in ("platform", "team-a", "team-b"):
        for name in ("sentops-run", "sentops-model"):
            rendered.one("ServiceAccount", name, namespace)
            rendered.one("NetworkPolicy", name, namespace)
        rendered.one("Role", "sentops-operator", namespace)
