"""Each case's manifests, whole, and what must hold for all of them."""

import kubernetes_validate
import pytest

from sentops_core.domain.errors import InvalidInput
from sentops_core.domain.resources import Resources, Trainer
from sentops_operator.manifests.job import RunSettings, build_job
from sentops_operator.manifests.serving import (
    ServingSettings,
    build_autoscaler,
    build_deployment,
    build_disruption_budget,
)
from tests.operator.manifests.cases import NAMES, built, expected, pod_template, run_spec_of
from tests.operator.manifests.restricted import violations
from tests.support.builders import a_model_version, a_training_job

KUBERNETES = "1.36"
WORKLOADS = [
    pytest.param(manifest, id=f"{name}-{manifest['kind']}")
    for name in NAMES
    for manifest in expected(name)
    if pod_template(manifest)
]


@pytest.mark.parametrize("name", NAMES)
def test_a_case_gives_exactly_the_manifests_beside_it(name: str) -> None:
    assert built(name) == expected(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_manifest_is_valid_in_kubernetes(name: str) -> None:
    for manifest in built(name):
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_the_schema_check_would_notice_a_field_that_does_not_exist() -> None:
    manifest = built("plain")[-1]
    manifest["spec"]["template"]["spec"]["containers"][0]["volumeMount"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_pod_keeps_to_the_restricted_level(workload: dict) -> None:
    assert violations(workload["spec"]["template"]["spec"]) == []


def test_the_restricted_check_would_notice_what_is_missing() -> None:
    pod = pod_template(built("plain")[-1])["spec"]
    pod["containers"][0]["securityContext"].pop("capabilities")
    pod["securityContext"]["runAsNonRoot"] = False
    pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}})
    assert violations(pod) == [
        "volume host is hostPath",
        "run: may run as root",
        "run: keeps capabilities",
    ]


@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_pod_writes_only_where_something_is_mounted(workload: dict) -> None:
    pod = workload["spec"]["template"]["spec"]
    container = pod["containers"][0]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    writable = [
        mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")
    ]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert sorted(mounts.values()) == sorted(volume["name"] for volume in pod["volumes"])
    folders = {"HOME", "TMPDIR", "HF_HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR", "SENTOPS_CACHE"}
    for variable in container["env"]:
        if variable["name"] in folders | {"SENTOPS_MODEL_CACHE_DIR"}:
            assert any((variable["value"] + "/").startswith(f"{path}/") for path in writable), (
                variable
            )


@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_pod_has_no_token_for_the_api(workload: dict) -> None:
    pod = workload["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    for volume in pod["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            assert source["serviceAccountToken"]["audience"].startswith("sentops.dev/")


@pytest.mark.parametrize("workload", WORKLOADS)
def test_no_annotation_of_a_tool_is_copied_to_a_child(workload: dict) -> None:
    places = [workload["metadata"], workload["spec"]["template"]["metadata"]]
    keys = [key for place in places for key in place.get("annotations", {})]
    assert [key for key in keys if not key.startswith("sentops.dev/")] == []


@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_selector_finds_the_pods_it_is_for(workload: dict) -> None:
    labels = workload["spec"]["template"]["metadata"]["labels"]
    if workload["kind"] == "Deployment":
        assert workload["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert workload["metadata"]["labels"].items() <= labels.items()


def test_scaling_by_cpu_needs_a_request_to_measure_against() -> None:
    with pytest.raises(ValueError, match="must request cpu"):
        ServingSettings(image="sentops-model:0.1.0", replicas=1, max_replicas=4)


def test_a_number_of_gpus_is_whole() -> None:
    trainer = Trainer(resources=Resources(limits={"nvidia.com/gpu": "1k"}))
    case = a_training_job(trainer=trainer)
    with pytest.raises(InvalidInput, match=r"nvidia\.com/gpu is '1k'"):
        build_job(case, run_spec_of(case), RunSettings(image="sentops-trainer:0.1.0"))


def test_an_address_that_leaves_its_claim_is_refused() -> None:
    case = a_training_job(output={"storage_uri": "pvc://models/../other"})
    with pytest.raises(InvalidInput, match=r"without \.\."):
        build_job(case, run_spec_of(case), RunSettings(image="sentops-trainer:0.1.0"))


def test_one_replica_has_no_disruption_budget_and_no_autoscaler() -> None:
    settings = ServingSettings(image="sentops-model:0.1.0", replicas=1, max_replicas=1)
    assert build_disruption_budget("reviews", "ml", settings) is None
    assert build_autoscaler("reviews", "ml", settings) is None


def test_a_model_server_is_told_where_traces_go() -> None:
    def environment(endpoint: str) -> dict[str, str | None]:
        settings = ServingSettings(
            image="sentops-model:0.1.0", max_replicas=2, traces_endpoint=endpoint
        )
        deployment = build_deployment(a_model_version(), "champion", settings)
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        return {one["name"]: one.get("value") for one in container["env"]}

    assert environment("http://collector:4318")["OTEL_EXPORTER_OTLP_ENDPOINT"] == (
        "http://collector:4318"
    )
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in environment("")
