"""The chart sets what each program reads: no variable without a reader, no setting that cannot be reached."""

import base64
import json
from typing import Any

import pytest
from pydantic.alias_generators import to_camel

from sentops_backoffice.settings import Settings as BackofficeSettings
from sentops_core.settings import ServiceSettings
from sentops_monitor.settings import Settings as MonitorSettings
from sentops_operator.settings import Settings as OperatorSettings
from sentops_trainer.settings import ClusterSettings, SubstrateName, read_trainer_settings
from sentops_web.settings import Settings as WebSettings
from tests.charts.cases import CASES
from tests.charts.objects import environment, pod
from tests.support.helm import CHART, Helm, Rendered

PROGRAMS: dict[str, type[ServiceSettings]] = {
    "web": WebSettings,
    "backoffice": BackofficeSettings,
    "trainer": ClusterSettings,
    "monitor": MonitorSettings,
    "operator": OperatorSettings,
}
# Fields of every service that mean nothing here: no proxy stands before these three.
_NOT_BEHIND_A_PROXY = {
    "trainer": {"forwarded_allow_ips"},
    "monitor": {"forwarded_allow_ips"},
    "operator": {"forwarded_allow_ips"},
}
# Set by the chart unless values say something else.
_DERIVED = {"web": {"secure_cookies"}}
# What OpenTelemetry's SDK reads by itself.
_OF_OPENTELEMETRY = {"OTEL_EXPORTER_OTLP_ENDPOINT"}
# Read before the settings themselves.
_CHOOSING = {"trainer": {"substrate"}}


def fields_set(rendered: Rendered, program: str) -> set[str]:
    prefix = f"SENTOPS_{program.upper()}_"
    names = environment(pod(rendered, program).container(program)).keys() - _OF_OPENTELEMETRY
    assert all(name.startswith(prefix) for name in names)
    return {name.removeprefix(prefix).lower() for name in names}


def optional_settings(program: str) -> dict[str, Any]:
    schema = json.loads((CHART / "values.schema.json").read_text())
    settings: dict[str, Any] = schema["properties"][program]["properties"]["settings"]
    return settings["properties"]


def values_of_environment(rendered: Rendered, program: str) -> dict[str, str]:
    """What a kubelet would put there."""
    secrets = {one["metadata"]["name"]: one["data"] for one in rendered.of_kind("Secret")}
    made: dict[str, str] = {}
    for name, value in environment(pod(rendered, program).container(program)).items():
        if isinstance(value, str):
            made[name] = value
        elif "fieldRef" in value:
            made[name] = value["fieldRef"]["fieldPath"].replace("metadata.", "of-this-")
        else:
            reference = value["secretKeyRef"]
            made[name] = base64.b64decode(secrets[reference["name"]][reference["key"]]).decode()
    return made


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("case", CASES)
def test_every_variable_is_a_setting_of_its_program(helm: Helm, program: str, case: str) -> None:
    known = set(PROGRAMS[program].model_fields) | _CHOOSING.get(program, set())
    assert fields_set(helm.template(CASES[case]), program) - known == set()


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_setting_is_set_or_can_be(helm: Helm, program: str) -> None:
    fields = set(PROGRAMS[program].model_fields) | _CHOOSING.get(program, set())
    fields -= _NOT_BEHIND_A_PROXY.get(program, set())
    by_the_chart = set().union(
        *(fields_set(helm.template(values), program) for values in CASES.values())
    )
    by_the_person = set(optional_settings(program))
    reachable = by_the_chart | {name for name in fields if to_camel(name) in by_the_person}
    assert fields - reachable == set()


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_a_person_may_set_is_not_what_the_chart_sets(helm: Helm, program: str) -> None:
    fields = {to_camel(name): name for name in PROGRAMS[program].model_fields}
    offered = {
        fields[name] for name in optional_settings(program)
    }  # KeyError: a setting nobody reads
    offered -= _DERIVED.get(program, set())
    by_the_chart = fields_set(helm.template(), program)
    assert offered & by_the_chart == set()


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("case", [name for name in CASES if name != "secrets of one's own"])
def test_each_program_starts_with_what_the_chart_sets(
    helm: Helm, program: str, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in values_of_environment(helm.template(CASES[case]), program).items():
        monkeypatch.setenv(name, value)
    settings = PROGRAMS[program]()
    assert settings.host == "0.0.0.0"
    assert settings.model_fields_set >= set(
        fields_set(helm.template(CASES[case]), program)
    ) - _CHOOSING.get(program, set())


def test_the_trainer_works_on_custom_resources(helm: Helm, monkeypatch: pytest.MonkeyPatch) -> None:
    environment_of_pod = values_of_environment(helm.template(), "trainer")
    assert environment_of_pod["SENTOPS_TRAINER_SUBSTRATE"] == SubstrateName.KUBERNETES
    for name, value in environment_of_pod.items():
        monkeypatch.setenv(name, value)
    settings = read_trainer_settings()
    assert isinstance(settings, ClusterSettings)
    assert settings.store_uri == "pvc://sentops-artifacts/store"


_EXAMPLES: dict[str, dict[str, Any]] = {
    "web": {
        "logLevel": "DEBUG",
        "spoolMaxBytes": 1 << 30,
        "textsPerSecond": 0.5,
        "secureCookies": True,
        "forwardedAllowIps": "10.42.0.0/16",
    },
    "backoffice": {
        "logLevel": "WARNING",
        "maxUploadBytes": 100_000_000,
        "certificateHost": "ask.example.com:8443",
    },
    "trainer": {"mirrorSeconds": 0.5, "mlflowArtifacts": "card", "mlflowSeconds": 30},
    "monitor": {"refreshSeconds": 12.5, "retentionDays": 400},
    "operator": {"workers": 3, "resyncSeconds": 60},
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_optional_settings_arrive_as_they_were_written(
    helm: Helm, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = helm.template({program: {"settings": _EXAMPLES[program]}})
    for name, value in values_of_environment(rendered, program).items():
        monkeypatch.setenv(name, value)
    settings = PROGRAMS[program]()
    for name, value in _EXAMPLES[program].items():
        (field,) = [one for one in PROGRAMS[program].model_fields if to_camel(one) == name]
        assert getattr(settings, field) == value, name


def test_the_operator_gets_the_model_servers_pods_as_values_say(
    helm: Helm, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {
        "pods": {"nodeSelector": {"pool": "all"}, "tolerations": [{"operator": "Exists"}]},
        "model": {
            "replicas": 3,
            "maxReplicas": 9,
            "pod": {"nodeSelector": {"pool": "fast"}, "priorityClassName": "front"},
            "resources": {"requests": {"cpu": 1}},
        },
        "artifacts": {"pvc": {"keepOnOneNode": False}},
        "operator": {"watchNamespaces": ["team-a"]},
        "image": {"pullSecrets": ["one", "two"]},
    }
    for name, value in values_of_environment(helm.template(values), "operator").items():
        monkeypatch.setenv(name, value)
    settings = OperatorSettings()
    assert settings.model_pod.node_selector == {"pool": "fast"}
    assert settings.model_pod.priority_class_name == "front"
    assert [one.operator for one in settings.model_pod.tolerations] == ["Exists"]
    assert settings.model_pod.affinity == {}
    assert (settings.model_replicas, settings.model_max_replicas) == (3, 9)
    assert settings.model_resources.limits["memory"] == "1536Mi"
    assert settings.namespaces == ("platform", "team-a")
    assert settings.image_pull_secrets == ("one", "two")
    assert settings.status_url == "http://sentops-operator.platform.svc:8080"
    assert settings.run_service_account == "sentops-run"


def test_whoever_answers_requests_is_told_where_traces_go(
    helm: Helm, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = helm.template(CASES["a collector of traces"])
    endpoint = "http://collector.traces.svc:4318"
    for program in ("web", "backoffice", "trainer", "monitor"):
        values = values_of_environment(rendered, program)
        assert values["OTEL_EXPORTER_OTLP_ENDPOINT"] == endpoint
    for name, value in values_of_environment(rendered, "operator").items():
        monkeypatch.setenv(name, value)
    assert OperatorSettings().model_traces_endpoint == endpoint
    without = helm.template()
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in values_of_environment(without, "web")


def test_no_size_of_the_work_folder_means_no_volume(
    helm: Helm, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = helm.template({"runs": {"work": {"size": ""}}})
    for name, value in values_of_environment(rendered, "operator").items():
        monkeypatch.setenv(name, value)
    assert OperatorSettings().work_storage_size == ""


def test_all_namespaces_means_that_none_is_named(helm: Helm) -> None:
    rendered = helm.template(CASES["all namespaces"])
    assert "namespaces" not in fields_set(rendered, "operator")
    values = values_of_environment(rendered, "operator")
    assert values["SENTOPS_OPERATOR_RUN_SERVICE_ACCOUNT"] == "default"
    assert "SENTOPS_OPERATOR_CACHE_CLAIM" not in values


def test_web_sends_its_cookie_by_https_where_people_come_by_https(helm: Helm) -> None:
    def secure(values: dict[str, Any]) -> str:
        return values_of_environment(helm.template(values), "web")["SENTOPS_WEB_SECURE_COOKIES"]

    assert secure({}) == "false"
    assert secure(CASES["ingress"]) == "true"
    assert secure(CASES["gateway"]) == "true"
    assert secure({"web": {"settings": {"secureCookies": True}}}) == "true"


def test_the_trainer_leads_browsers_to_the_back_office(helm: Helm) -> None:
    def address(values: dict[str, Any]) -> str:
        made = values_of_environment(helm.template(values), "trainer")
        return made["SENTOPS_TRAINER_BACKOFFICE_URL"]

    assert address({}) == "http://sentops-backoffice.platform.svc:8001"
    assert address(CASES["ingress"]) == "https://staff.example.com"
    assert address({"backoffice": {"url": "http://127.0.0.1:8001/"}}) == "http://127.0.0.1:8001"
