"""What Kubernetes does not let change stays the same from one release of the chart to the next."""

from typing import Any

import pytest

from tests.charts.cases import CASES
from tests.charts.objects import environment, pod, pods_of
from tests.support.helm import Helm, Manifest, Rendered

_NEXT: dict[str, Any] = {"image": {"tag": "9.9.9"}, "pods": {"labels": {"team": "reviews"}}}


def immutable(one: Manifest) -> Manifest:
    """The fields of a workload whose change the API server refuses."""
    spec = one["spec"]
    fixed = {"selector": spec["selector"]}
    if one["kind"] == "StatefulSet":
        keys = ("serviceName", "podManagementPolicy", "volumeClaimTemplates")
        fixed |= {key: spec.get(key) for key in keys}
    return fixed


def workloads(rendered: Rendered) -> dict[str, Manifest]:
    return {
        f"{one['kind']}/{one['metadata']['name']}": immutable(one)
        for one in rendered.of_kind("Deployment", "StatefulSet")
    }


@pytest.mark.parametrize("case", CASES)
def test_a_new_version_changes_nothing_immutable(helm: Helm, case: str) -> None:
    before = workloads(helm.template(CASES[case]))
    after = workloads(helm.template({**CASES[case], **_NEXT}))
    assert before == after


def test_a_new_version_of_the_chart_is_in_no_label_of_what_is_kept(helm: Helm) -> None:
    # Templates of claims cannot change, and labels of pods roll them: the chart's version is in neither.
    rendered = helm.template()
    for made in pods_of(rendered):
        if made.serves:
            assert "helm.sh/chart" not in made.labels
        for claim in made.owner["spec"].get("volumeClaimTemplates", ()):
            assert "app.kubernetes.io/version" not in claim["metadata"]["labels"]


def test_programs_are_replaced_without_a_gap(helm: Helm) -> None:
    for one in helm.template().of_kind("Deployment"):
        strategy = one["spec"]["strategy"]
        if one["metadata"]["name"] == "sentops-operator":
            assert strategy == {"type": "Recreate"}  # two would want one lease
        else:
            assert strategy["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


@pytest.mark.parametrize("program", ["web", "backoffice", "trainer"])
def test_a_program_that_ends_lets_requests_finish(helm: Helm, program: str) -> None:
    made = pod(helm.template(), program)
    linger = made.container(program)["lifecycle"]["preStop"]["sleep"]["seconds"]
    # Requests in flight get 20 seconds (sentops_core.http.serve).
    assert made.spec["terminationGracePeriodSeconds"] >= linger + 20 + 10


def test_an_autoscaler_and_the_chart_do_not_set_replicas_in_turn(helm: Helm) -> None:
    rendered = helm.template({"web": {"autoscaling": {"enabled": True}}})
    assert "replicas" not in rendered.one("StatefulSet", "sentops-web")["spec"]
    scaler = rendered.one("HorizontalPodAutoscaler", "sentops-web")["spec"]
    target = scaler["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("StatefulSet", "sentops-web")
    assert "cpu" in pod(rendered, "web").container("web")["resources"]["requests"]


def test_long_names_stay_names(helm: Helm) -> None:
    release = "a-release." + "n" * 43  # as long as helm allows
    for one in helm.template(CASES["metrics"], release=release, namespace="n" * 63).manifests:
        longest = 253 if one["kind"].startswith(("Cluster", "Custom", "Validating")) else 63
        assert len(one["metadata"]["name"]) <= longest
        for value in one["metadata"]["labels"].values():
            assert len(value) <= 63


def test_images_come_from_the_registry_that_values_name(helm: Helm) -> None:
    rendered = helm.template(CASES["private registry"])
    values = environment(pod(rendered, "operator").container("operator"))
    assert pod(rendered, "web").container("web")["image"] == (
        "registry.example.com/team/sentops-web:1.2.3-rc.1"
    )
    assert values["SENTOPS_OPERATOR_MODEL_IMAGE"] == (
        "registry.example.com/team/sentops-model:1.2.3-rc.1"
    )
    assert values["SENTOPS_OPERATOR_TRAINER_IMAGE"].endswith("gpu/trainer@sha256:" + "a" * 64)
    assert values["SENTOPS_OPERATOR_IMAGE_PULL_POLICY"] == "Always"
    for made in pods_of(rendered):
        assert made.spec["imagePullSecrets"] == [{"name": "pull"}]


def test_settings_of_all_pods_reach_every_pod_and_one_program_may_differ(helm: Helm) -> None:
    values = {**CASES["large"], "monitor": {"pod": {"nodeSelector": {"pool": "other"}}}}
    for made in pods_of(helm.template(values)):
        pool = "other" if made.component == "monitor" else "sentops"
        assert made.spec["nodeSelector"] == {"pool": pool}, made.name
        assert made.spec["priorityClassName"] == "business"
        assert made.spec["tolerations"] == [{"key": "dedicated", "operator": "Exists"}]
        if made.serves:
            assert made.labels["team"] == "reviews"
            assert made.metadata["annotations"]["example.com/owner"] == "reviews"
