"""SENTOPS_OPERATOR_*, as the chart sets them."""

import pytest
from pydantic import ValidationError

from sentops_core.settings import read_settings
from sentops_operator.settings import Settings
from sentops_operator.startup import to_run_settings, to_serving_settings
from tests.operator.conftest import settings_for_tests

REQUIRED = {
    "NAMESPACE": "sentops",
    "POD_NAME": "operator-0",
    "TRAINER_IMAGE": "trainer:1",
    "MODEL_IMAGE": "model:1",
    "STATUS_URL": "http://operator:8080",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in REQUIRED.items():
        monkeypatch.setenv(f"SENTOPS_OPERATOR_{name}", value)
    return monkeypatch


def test_lists_are_written_with_commas(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SENTOPS_OPERATOR_NAMESPACES", "one, two,,three ")
    environment.setenv("SENTOPS_OPERATOR_IMAGE_PULL_SECRETS", "registry")
    settings = read_settings(Settings)
    assert settings.namespaces == ("one", "two", "three")
    assert settings.image_pull_secrets == ("registry",)


def test_nothing_named_means_every_namespace(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SENTOPS_OPERATOR_NAMESPACES", "")
    assert read_settings(Settings).namespaces == ()


def test_resources_and_pod_settings_are_json(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SENTOPS_OPERATOR_RUN_RESOURCES", '{"limits": {"memory": "4Gi", "cpu": 2}}')
    environment.setenv("SENTOPS_OPERATOR_MODEL_POD", '{"nodeSelector": {"disk": "ssd"}}')
    settings = read_settings(Settings)
    assert settings.run_resources.limits == {"memory": "4Gi", "cpu": "2"}
    assert to_serving_settings(settings).pod.node_selector == {"disk": "ssd"}


def test_no_work_storage_means_an_empty_dir(environment: pytest.MonkeyPatch) -> None:
    assert to_run_settings(read_settings(Settings)).work_storage_size == ""
    environment.setenv("SENTOPS_OPERATOR_WORK_STORAGE_SIZE", "20Gi")
    assert to_run_settings(read_settings(Settings)).work_storage_size == "20Gi"


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in REQUIRED:
        monkeypatch.delenv(f"SENTOPS_OPERATOR_{name}", raising=False)
    with pytest.raises(SystemExit) as refusal:
        read_settings(Settings)
    for name in REQUIRED:
        assert f"SENTOPS_OPERATOR_{name}: Field required" in str(refusal.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model_replicas": 3, "model_max_replicas": 2}, "cannot be less than MODEL_REPLICAS"),
        ({"model_replicas": 2, "model_max_replicas": 5}, "MODEL_RESOURCES must request cpu"),
        ({"status_url": "operator:8080"}, "status_url"),
        ({"image_pull_policy": "Sometimes"}, "image_pull_policy"),
        ({"workers": 0}, "workers"),
        ({"work_access_mode": "ReadWriteOften"}, "work_access_mode"),
        ({"model_pod": {"nodeSelectr": {}}}, "model_pod"),
    ],
)
def test_settings_that_cannot_work_are_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        settings_for_tests(**fields)


def test_an_autoscaler_is_allowed_once_cpu_is_requested() -> None:
    cpu = {"requests": {"cpu": "500m"}}
    settings = settings_for_tests(model_max_replicas=5, model_resources=cpu)
    assert to_serving_settings(settings).scales
