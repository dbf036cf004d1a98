"""Who may delete a ModelVersion, by the rules that the API server would evaluate."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from cel_expr_python import cel

from tests.k8s.documents import a_model_version

FOLDER = Path(__file__).parents[2] / "k8s" / "admission"
POLICY, BINDING = yaml.safe_load_all((FOLDER / "live-versions.yaml").read_text())
PERSON = {"username": "anna", "groups": ["system:authenticated"]}
NAMESPACES = {
    "username": "system:serviceaccount:kube-system:namespace-controller",
    "groups": ["system:serviceaccounts", "system:serviceaccounts:kube-system"],
}
_ENVIRONMENT = cel.NewEnv(variables={"oldObject": cel.Type.DYN, "request": cel.Type.DYN})


def evaluated(expression: str, version: Any, by: Any) -> Any:
    data = {"oldObject": version, "request": {"userInfo": by}}
    return _ENVIRONMENT.compile(expression).eval(data=data).plain_value()


def refusal(version: dict[str, Any], by: dict[str, Any] = PERSON) -> str | None:
    """Why the API server would not delete it."""
    if not all(
        evaluated(one["expression"], version, by) for one in POLICY["spec"]["matchConditions"]
    ):
        return None
    (rule,) = POLICY["spec"]["validations"]
    if evaluated(rule["expression"], version, by) is True:
        return None
    return evaluated(rule["messageExpression"], version, by)


def a_live_version(**annotations: str) -> dict[str, Any]:
    version = a_model_version() | {"status": {"phase": "Live"}}
    if annotations:
        version["metadata"]["annotations"] = annotations
    return version


def test_deleting_the_live_version_is_refused_with_what_to_do() -> None:
    sentence = refusal(a_live_version())
    assert sentence is not None
    assert sentence.startswith("ModelVersion reviews-it-13 serves the users of reviews-it.")
    assert "Promote another version first" in sentence
    assert "kubectl annotate modelversion reviews-it-13 sentops.dev/allow-deletion=true" in sentence


def test_whoever_says_that_they_mean_it_is_believed() -> None:
    assert refusal(a_live_version(**{"sentops.dev/allow-deletion": "true"})) is None
    assert refusal(a_live_version(**{"sentops.dev/allow-deletion": "no"})) is not None
    assert refusal(a_live_version(other="true")) is not None


@pytest.mark.parametrize("phase", ["Pending", "Canary", "RolledBack", "Archived", "Quarantined"])
def test_other_versions_may_go(phase: str) -> None:
    assert refusal(a_model_version() | {"status": {"phase": phase}}) is None
    assert refusal(a_model_version()) is None
    assert refusal(a_model_version() | {"status": {}}) is None


def test_a_namespace_can_be_deleted_with_a_live_version_in_it() -> None:
    assert refusal(a_live_version(), by=NAMESPACES) is None
    assert (
        refusal(a_live_version(), by={"username": "system:kube-controller-manager", "groups": []})
        is None
    )


def test_the_policy_is_in_force_for_deletions_alone() -> None:
    (matched,) = POLICY["spec"]["matchConstraints"]["resourceRules"]
    assert (matched["resources"], matched["operations"]) == (["modelversions"], ["DELETE"])
    assert BINDING["spec"]["policyName"] == POLICY["metadata"]["name"]
    assert BINDING["spec"]["validationActions"] == ["Deny"]
