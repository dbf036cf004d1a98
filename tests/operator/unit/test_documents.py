"""Between custom resources as the API server keeps them and the core's documents."""

import pytest

from sentops_core.domain.errors import InvalidInput
from sentops_core.domain.plan import RegisterVersion
from sentops_core.domain.resources import DesiredState, GateResult, Verdict
from sentops_core.domain.run import PublishedArtifact
from sentops_operator.documents import (
    InvalidDocument,
    is_made_from,
    registered_version,
    to_model_version,
    to_training_job,
)
from tests.operator.actors import a_manifest, a_version_manifest
from tests.support.builders import a_digest


def with_uid(name: str = "first", uid: str = "u1", **spec: object) -> dict[str, object]:
    manifest = a_manifest(name, **spec)
    manifest["metadata"] |= {"uid": uid, "resourceVersion": "7", "managedFields": [{}]}
    return manifest


def test_a_job_is_read_with_and_without_a_status() -> None:
    assert to_training_job(with_uid()).status.attempt == 0
    assert to_training_job({**with_uid(), "status": {}}).status.attempt == 0
    assert to_training_job({**with_uid(), "status": {"attempt": 2}}).status.attempt == 2


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"backoffLimit": -1}, "spec.backoffLimit: Input should be greater than or equal to 0"),
        ({"colour": "red"}, "spec.colour: Extra inputs are not permitted"),
        (
            {"trainer": {"method": "Linear", "numNodes": 2}},
            "spec.trainer: the method Linear trains on one node",
        ),
        (
            {"trainer": {"method": "Linear", "hyperparameters": {"epochs": 3}}},
            "spec.trainer: The method Linear does not use epochs",
        ),
    ],
)
def test_a_spec_that_cannot_be_read_says_where_and_why(spec: dict[str, object], words: str) -> None:
    manifest = a_manifest()
    manifest["spec"] |= spec
    with pytest.raises(InvalidDocument, match=words):
        to_training_job(manifest)


def test_an_unreadable_status_is_not_the_specs_fault() -> None:
    with pytest.raises(InvalidInput, match=r"newer operator.*phase"):
        to_training_job({**with_uid(), "status": {"phase": "Dreaming"}})


def test_a_version_that_cannot_be_read_is_none() -> None:
    manifest = a_version_manifest(1, digest=a_digest())
    assert to_model_version(manifest) is not None
    manifest["spec"]["artifact"]["digest"] = "md5:1"
    assert to_model_version(manifest) is None


def a_registration() -> RegisterVersion:
    return RegisterVersion(
        PublishedArtifact(storage_uri="pvc://data/x", digest=a_digest(), size_bytes=5),
        GateResult(verdict=Verdict.PASS, reasons=("Good.",), samples=600),
        DesiredState.CHAMPION,
    )


def test_a_registered_version_carries_what_its_job_found() -> None:
    job = to_training_job(with_uid(promotion={"rollout": {"shadowSeconds": 5}}))
    manifest = registered_version(job, a_registration(), 4)
    version = to_model_version(manifest)
    assert version is not None
    assert (version.metadata.name, version.spec.version) == ("sentiment-v4", 4)
    assert version.spec.desired_state is DesiredState.CHAMPION
    assert version.spec.rollout.shadow_seconds == 5
    assert version.spec.gate_result == a_registration().gate_result
    assert "status" not in manifest
    assert "ownerReferences" not in manifest["metadata"]


def test_a_version_is_of_the_job_it_was_made_from_and_not_of_a_later_one_of_that_name() -> None:
    job = to_training_job(with_uid())
    version = to_model_version(registered_version(job, a_registration(), 1))
    assert version is not None
    assert is_made_from(version, job)
    assert not is_made_from(version, to_training_job(with_uid(uid="u2")))
    assert not is_made_from(version, to_training_job(with_uid("second")))
