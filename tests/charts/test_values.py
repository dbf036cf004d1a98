"""Every value is explained, checked and used; values that contradict each other are refused with a sentence."""

import copy
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import yaml

from tests.charts.cases import CASES
from tests.support.helm import CHART, Helm, HelmRefusal

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
# Maps whose keys are the person's own.
_FREE = {
    "annotations", "labels", "nodeSelector", "affinity", "settings", "pod", "parameters",
    "requests", "limits", "tolerations",
}  # fmt: skip


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        found: dict[str, Any] = SCHEMA["$defs"][name]
        return found
    return schema


def paths(
    values: dict[str, Any], schema: dict[str, Any], at: str = ""
) -> Iterator[tuple[str, str]]:
    """(path, what is wrong) wherever values.yaml and the schema differ."""
    known = set(resolved(schema).get("properties", {}))
    for key in set(values) - known:
        yield f"{at}{key}", "is not in the schema"
    for key in known - set(values) - ({"global"} if not at else set()):
        yield f"{at}{key}", "is not in values.yaml"
    for key in known & set(values):
        inner = resolved(schema)["properties"][key]
        if isinstance(values[key], dict) and key not in _FREE and "properties" in resolved(inner):
            yield from paths(values[key], inner, f"{at}{key}.")


def leaves(values: dict[str, Any], at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        if isinstance(value, dict) and value and key not in _FREE:
            yield from leaves(value, (*at, key))
        else:
            yield (*at, key)


def test_helm_finds_nothing_to_say(helm: Helm) -> None:
    done = helm.run("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 chart(s) linted, 0 chart(s) failed" in done.stdout


def test_values_and_schema_know_the_same(helm: Helm) -> None:
    assert list(paths(VALUES, SCHEMA)) == []


def test_the_schema_refuses_what_it_does_not_know() -> None:
    def open_objects(schema: Any, at: str) -> Iterator[str]:
        if isinstance(schema, dict):
            if "properties" in schema and schema.get("additionalProperties") is not False:
                yield at
            for key, value in schema.items():
                yield from open_objects(value, f"{at}/{key}")

    assert list(open_objects(SCHEMA, "")) == []


@pytest.mark.parametrize(
    "values",
    [
        {"replicaCount": 3},
        {"web": {"replica": 3}},
        {"web": {"replicas": "3"}},
        {"web": {"settings": {"textPerSecond": 3}}},
        {"web": {"settings": {"port": 1}}},
        {"trainer": {"settings": {"runsDir": "/runs"}}},
        {"image": {"tag": "latest"}},
        {"image": {"pullPolicy": "Sometimes"}},
        {"modelName": "Not_A_Name"},
        {"artifacts": {"type": "disk"}},
        {"artifacts": {"pvc": {"accessModes": []}}},
        {"artifacts": {"pvc": {"size": "twenty"}}},
        {"operator": {"watchNamespaces": "team-a"}},
        {"pods": {"tolerations": [{"keys": "a"}]}},
        {"networkPolicy": {"hubs": {"cidrs": ["everywhere"]}}},
        {"externalDatabase": {"url": "mysql://db"}},
        {"model": {"replicas": 0}},
        {"mlflow": {"enabled": True}},
        {"tracking": {"mlflowUrl": "mlflow:5000"}},
        {"traces": {"endpoint": "collector:4318"}},
        {"backoffice": {"settings": {"certificateHost": "https://a.example.com"}}},
        {"trainer": {"settings": {"mlflowArtifacts": "some"}}},
    ],
    ids=json.dumps,
)
def test_a_value_that_is_not_understood_is_refused(helm: Helm, values: dict[str, Any]) -> None:
    with pytest.raises(HelmRefusal, match="values don't meet the specifications"):
        helm.template(values)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"postgresql": {"enabled": False}}, "No database: set"),
        ({"externalDatabase": {"url": "postgresql://u@h/d"}}, "Two databases"),
        (
            {
                "postgresql": {"enabled": False},
                "externalDatabase": {"url": "postgresql://u@h/d", "existingSecret": "s"},
            },
            "set one of them",
        ),
        ({"artifacts": {"type": "s3"}}, "set artifacts.s3.bucket"),
        ({"tracking": {"mlflowUrl": "http://m", "existingSecret": "s"}}, "set one of them"),
        (
            {"artifacts": {"type": "s3", "s3": {"bucket": "b-b", "accessKeyId": "a"}}},
            "belong together",
        ),
        (
            {
                "artifacts": {
                    "type": "s3",
                    "s3": {"bucket": "b-b", "existingSecret": "s", "region": "eu"},
                }
            },
            "put AWS_ACCESS_KEY_ID",
        ),
        (
            {"operator": {"watchAllNamespaces": True, "watchNamespaces": ["a"]}},
            "set one of them",
        ),
        ({"operator": {"replicas": 2, "leaderElection": False}}, "undo each other's work"),
        (
            {"model": {"maxReplicas": 5, "resources": {"requests": {"cpu": None}, "limits": {"cpu": None}}}},
            "model.resources.requests.cpu must be set",
        ),
        ({"model": {"replicas": 5, "maxReplicas": 3}}, "less than model.replicas"),
        (
            {"web": {"autoscaling": {"enabled": True, "minReplicas": 9, "maxReplicas": 3}}},
            "less than web.autoscaling.minReplicas",
        ),
    ],
)  # fmt: skip
def test_values_that_contradict_each_other_are_refused(
    helm: Helm, values: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(HelmRefusal, match=re.escape(sentence)):
        helm.template(values)


def test_every_value_is_explained() -> None:
    """A comment above it, or above the group whose name says the rest."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    for above, line in pairwise(lines):
        if re.match(r"[a-zA-Z]+:", line):
            assert above.startswith("# "), line
        elif re.match(r" +[a-zA-Z]+:", line) and not above.endswith(":"):
            key = line.split(":")[0].strip()
            assert above.lstrip().startswith("#") or key in _SAY_IT_THEMSELVES, line


_SAY_IT_THEMSELVES = {
    "replicas", "resources", "requests", "limits", "service", "serviceAccount", "size", "region",
    "minReplicas", "maxReplicas", "targetCPUUtilizationPercentage", "secretAccessKey", "interval",
    "ports", "port", "s3", "storage", "spool", "autoscaling", "shared_buffers", "backoffice", "web",
    "apiServer", "externalDatabase", "objectStore", "mlflow", "traces", "hubs", "rules", "work", "pvc",
}  # fmt: skip

# Values that are used only together with others: what a person sets first.
_FIRST: dict[tuple[str, ...], dict[str, Any]] = {
    ("ingress",): {
        "ingress": {
            "enabled": True,
            "web": {"host": "a.example.com"},
            "backoffice": {"host": "b.example.com"},
        }
    },
    ("gateway",): CASES["gateway"],
    ("externalDatabase",): {
        "postgresql": {"enabled": False},
        "externalDatabase": {"existingSecret": "db"},
    },
    ("networkPolicy", "externalDatabase"): CASES["external database"],
    ("networkPolicy", "objectStore"): CASES["a bucket by identity"],
    ("artifacts", "s3"): CASES["a bucket by identity"],
    ("tracking", "existingSecretKey"): {"tracking": {"existingSecret": "mlflow"}},
    ("networkPolicy", "mlflow"): {"tracking": {"mlflowUrl": "http://mlflow:5000"}},
    ("networkPolicy", "traces"): {"traces": {"endpoint": "http://collector:4318"}},
    ("metrics",): {"metrics": {"enabled": True, "rules": {"enabled": True}}},
    ("metrics", "dashboards"): {"metrics": {"dashboards": {"enabled": True}}},
    ("migrations", "timeoutSeconds"): {"migrations": {"beforeUpgrade": "always"}},
    ("web", "autoscaling"): {"web": {"autoscaling": {"enabled": True}}},
}
# Values that replace others: before and after.
_INSTEAD: dict[tuple[str, ...], tuple[dict[str, Any], dict[str, Any]]] = {
    ("postgresql", "enabled"): ({}, CASES["external database"]),
    ("externalDatabase", "url"): (
        CASES["external database"],
        {"postgresql": {"enabled": False}, "externalDatabase": {"existingSecret": "db"}},
    ),
    ("externalDatabase", "existingSecret"): (
        {"postgresql": {"enabled": False}, "externalDatabase": {"existingSecret": "db"}},
        {"postgresql": {"enabled": False}, "externalDatabase": {"existingSecret": "other"}},
    ),
    ("artifacts", "type"): ({}, CASES["a bucket by identity"]),
    ("artifacts", "s3", "accessKeyId"): (
        {},
        CASES["artefacts in a bucket"],
    ),
    ("artifacts", "s3", "secretAccessKey"): (
        CASES["a bucket by identity"],
        CASES["artefacts in a bucket"],
    ),
    ("ingress", "enabled"): ({}, CASES["ingress"]),
    ("gateway", "enabled"): ({}, CASES["gateway"]),
    ("metrics", "enabled"): ({}, {"metrics": {"enabled": True}}),
    ("metrics", "rules", "enabled"): ({}, {"metrics": {"rules": {"enabled": True}}}),
    ("metrics", "dashboards", "enabled"): ({}, {"metrics": {"dashboards": {"enabled": True}}}),
    ("web", "autoscaling", "enabled"): ({}, {"web": {"autoscaling": {"enabled": True}}}),
}
_OTHER: dict[str, Any] = {
    "tag": "9.9.9",
    "pullPolicy": "Always",
    "bindAddress": "::",
    "type": "NodePort",
    "size": "7Gi",
    "accessMode": "ReadWriteMany",
    "interval": "5s",
    "beforeUpgrade": "always",
    "endpoint": "http://s3.example.com",
    "mlflowUrl": "http://mlflow.example.com",
    "to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
    "url": "http://127.0.0.1:8001",
    "pullSecrets": ["one"],
    "tolerations": [{"operator": "Exists"}],
    "topologySpreadConstraints": [
        {"maxSkew": 2, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule"}
    ],
    "watchNamespaces": ["team-a"],
    "accessModes": ["ReadWriteMany"],
    "parentRefs": [{"name": "other"}],
    "outsideFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
    "metricsFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
    "cidrs": ["10.0.0.0/8"],
    "ports": [8443],
    "affinity": {"nodeAffinity": {}},
    "settings": {"logLevel": "DEBUG"},
    "pod": {"labels": {"a": "b"}},
    "parameters": {"work_mem": "8MB"},
    "requests": {"cpu": "333m"},
    "limits": {"cpu": "3"},
}


def other_than(old: Any, name: str) -> Any:
    """Another value that the schema takes."""
    match old:
        case bool():
            return not old
        case int():
            return old + 3
        case float():
            return old / 2
        case dict() if name not in _OTHER:
            return {"example.com/a": "b"}
    return _OTHER.get(name, "another")


def before_and_after(path: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    if path in _INSTEAD:
        return _INSTEAD[path]
    first = next((_FIRST[path[:n]] for n in range(len(path), 0, -1) if path[:n] in _FIRST), {})
    after = inner = copy.deepcopy(first)
    old = VALUES
    for key in path[:-1]:
        inner, old = inner.setdefault(key, {}), old[key]
    inner[path[-1]] = other_than(old[path[-1]], path[-1])
    return first, after


def stable(text: str) -> str:
    """Without what is random in each rendering."""
    text = re.sub(r"checksum/config: \w+", "", text)
    return re.sub(
        r"(?m)^  (url|password|superuser-password|.*-(token|key|password)): \S+$", "", text
    )


@pytest.mark.parametrize("path", list(leaves(VALUES)), ids=".".join)
def test_every_value_changes_what_is_rendered(helm: Helm, path: tuple[str, ...]) -> None:
    before, after = (helm.template(values) for values in before_and_after(path))
    if path == ("externalDatabase", "url"):  # it is in a Secret only
        assert after.names("Secret") < before.names("Secret")
    else:
        assert stable(before.text) != stable(after.text)
