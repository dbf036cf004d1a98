"""What programs may ask of the API server: what they do ask, where they ask it, and no more."""

import re
from pathlib import Path

import pytest

import sentops_trainer.cluster
from sentops_operator.cleanup import KINDS as CLEANED
from tests.charts.cases import CASES
from tests.charts.objects import pod
from tests.support.helm import Helm, Manifest, Rendered

Rights = set[tuple[str, str, str]]  # (group, resource, verb)


def rights(role: Manifest) -> Rights:
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def held_by(rendered: Rendered, account: str) -> list[tuple[str, Rights]]:
    """(namespace, rights) of an account; the namespace "*" is the whole cluster."""
    found = []
    for binding in rendered.of_kind("RoleBinding", "ClusterRoleBinding"):
        (subject,) = binding["subjects"]
        assert subject["kind"] == "ServiceAccount"
        if subject["name"] != account:
            continue
        assert subject["namespace"] == "platform"
        wide = binding["kind"] == "ClusterRoleBinding"
        reference = binding["roleRef"]
        assert reference["kind"] == ("ClusterRole" if wide else "Role")
        namespace = None if wide else binding["metadata"]["namespace"]
        role = rendered.one(reference["kind"], reference["name"], namespace)
        found.append((namespace or "*", rights(role)))
    return found


OPERATOR: Rights = {
    *(("sentops.dev", "trainingjobs", verb) for verb in ("list", "watch")),
    *(("sentops.dev", "modelversions", verb) for verb in ("list", "watch", "create")),
    ("sentops.dev", "trainingjobs/status", "patch"),
    ("sentops.dev", "modelversions/status", "patch"),
    *(("batch", "jobs", verb) for verb in ("get", "list", "watch", "create", "patch", "delete")),
    *(("", "pods", verb) for verb in ("list", "watch")),
    *(("", "persistentvolumeclaims", verb) for verb in ("get", "create", "delete")),
    *(("", "services", verb) for verb in ("get", "create", "patch", "delete")),
    *(("apps", "deployments", verb) for verb in ("list", "watch", "create", "patch", "delete")),
    *(("autoscaling", "horizontalpodautoscalers", verb) for verb in ("create", "patch", "delete")),
    *(("policy", "poddisruptionbudgets", verb) for verb in ("create", "patch", "delete")),
    ("events.k8s.io", "events", "create"),
}
LEASE: Rights = {("coordination.k8s.io", "leases", verb) for verb in ("get", "create", "update")}
REVIEW: Rights = {("authentication.k8s.io", "tokenreviews", "create")}


def test_the_operator_has_its_rights_in_its_own_namespace_only(helm: Helm) -> None:
    held = held_by(helm.template(), "sentops-operator")
    assert sorted(held, key=repr) == sorted(
        [("platform", OPERATOR), ("platform", LEASE), ("*", REVIEW)], key=repr
    )


def test_further_namespaces_are_a_role_each(helm: Helm) -> None:
    held = held_by(helm.template(CASES["several namespaces"]), "sentops-operator")
    assert {namespace for namespace, found in held if found == OPERATOR} == {
        "platform",
        "team-a",
        "team-b",
    }
    assert [found for namespace, found in held if namespace == "*"] == [REVIEW]


def test_only_all_namespaces_are_a_cluster_role(helm: Helm) -> None:
    held = held_by(helm.template(CASES["all namespaces"]), "sentops-operator")
    assert ("*", OPERATOR) in held
    assert ("platform", LEASE) in held
    assert len(held) == 3


def test_without_leader_election_nobody_touches_leases(helm: Helm) -> None:
    held = held_by(helm.template(CASES["small"]), "sentops-operator")
    assert LEASE not in [found for _, found in held]


def test_names_of_cluster_roles_differ_between_releases(helm: Helm) -> None:
    first = helm.template(CASES["all namespaces"])
    second = helm.template(CASES["all namespaces"], namespace="elsewhere")
    assert not first.names("ClusterRole") & second.names("ClusterRole")
    assert not first.names("ClusterRoleBinding") & second.names("ClusterRoleBinding")


@pytest.mark.parametrize("case", CASES)
def test_nobody_may_do_everything_or_read_secrets(helm: Helm, case: str) -> None:
    for role in helm.template(CASES[case]).of_kind("Role", "ClusterRole"):
        for right in rights(role):
            assert "*" not in right
            assert right[1] not in {"secrets", "configmaps", "pods/exec", "serviceaccounts/token"}


_VERBS = {
    "list": "list",
    "get": "get",
    "create": "create",
    "merge_patch": "patch",
    "delete": "delete",
    "apply": "patch",
    "apply_status": "patch",
}
_RESOURCES = {
    "TRAINING_JOB": ("sentops.dev", "trainingjobs"),
    "MODEL_VERSION": ("sentops.dev", "modelversions"),
    "RETRAIN_POLICY": ("sentops.dev", "retrainpolicies"),
    "POD": ("", "pods"),
}


def test_the_trainer_may_do_what_its_code_asks_and_nothing_else(helm: Helm) -> None:
    """By reading the code: each call of the API names its kind, but for the creation of TrainingJobs."""
    asked: Rights = set()
    for file in Path(next(iter(sentops_trainer.cluster.__path__))).glob("*.py"):
        for verb, kind in re.findall(r"_?api\.(\w+)\(\s*([A-Z_]+|\w+)?", file.read_text()):
            if verb == "log":
                asked.add(("", "pods/log", "get"))
            elif kind in _RESOURCES:
                group, resource = _RESOURCES[kind]
                part = "/status" if verb == "apply_status" else ""
                asked.add((group, f"{resource}{part}", _VERBS[verb]))
            else:
                assert (verb, kind) == ("create", "manifest"), f"{file.name}: {verb} {kind}"
                asked.add(("sentops.dev", "trainingjobs", "create"))
    assert held_by(helm.template(), "sentops-trainer") == [("platform", asked)]


@pytest.mark.parametrize("account", ["web", "backoffice", "monitor", "postgresql", "run", "model"])
def test_everybody_else_has_no_rights(helm: Helm, account: str) -> None:
    assert held_by(helm.template(), f"sentops-{account}") == []


def test_the_cleanup_may_list_and_delete_what_it_cleans_up(helm: Helm) -> None:
    wanted = {(kind.group, kind.plural, verb) for kind in CLEANED for verb in ("list", "delete")}
    assert held_by(helm.template(), "sentops-cleanup") == [("platform", wanted)]
    held = held_by(helm.template(CASES["several namespaces"]), "sentops-cleanup")
    assert {namespace for namespace, _ in held} == {"platform", "team-a", "team-b"}
    assert held_by(helm.template(CASES["all namespaces"]), "sentops-cleanup") == [("*", wanted)]


def test_cleaning_up_starts_when_the_operator_is_gone(helm: Helm) -> None:
    rendered = helm.template()
    steps = {
        one["kind"]: int(one["metadata"]["annotations"]["helm.sh/hook-weight"])
        for one in rendered.manifests
        if one["metadata"].get("annotations", {}).get("helm.sh/hook") == "post-delete"
    }
    # Before the deletion, a running operator would make again what is deleted.
    assert set(steps) == {"ServiceAccount", "Role", "RoleBinding", "Job"}
    assert max(steps, key=lambda kind: steps[kind]) == "Job"


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("defaults", ["--namespace=platform"]),
        (
            "several namespaces",
            ["--namespace=platform", "--namespace=team-a", "--namespace=team-b"],
        ),
        ("all namespaces", ["--all-namespaces"]),
    ],
)
def test_cleaning_up_goes_where_the_operator_was(helm: Helm, case: str, options: list[str]) -> None:
    container = pod(helm.template(CASES[case]), "cleanup").container("cleanup")
    assert container["command"] == ["python", "-m", "sentops_operator", "cleanup", *options]


def test_cleaning_up_can_be_left_out(helm: Helm) -> None:
    rendered = helm.template({"operator": {"cleanupOnUninstall": False}})
    assert not any("cleanup" in one["metadata"]["name"] for one in rendered.manifests)
