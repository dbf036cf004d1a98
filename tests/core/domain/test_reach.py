"""A spec that names a folder of one machine is refused where pods train."""

import pytest

from sentops_core.domain.reach import unseen_by_pods
from sentops_core.domain.resources import TrainingJobSpec
from tests.support.builders import a_digest, a_training_job

A_DATASET = {"storageUri": "pvc://data/v1", "contentHash": a_digest("d")}


def a_spec(**fields: object) -> TrainingJobSpec:
    places = {"dataset": A_DATASET, "output": {"storageUri": "pvc://data/artifacts"}, **fields}
    spec = a_training_job("first").spec.to_document()
    return TrainingJobSpec.model_validate({**spec, **places})


def test_a_spec_that_a_cluster_can_honour_has_no_error() -> None:
    assert unseen_by_pods(a_spec()) is None
    assert unseen_by_pods(a_spec(output={"storageUri": "s3://bucket/it"})) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dataset", {**A_DATASET, "storageUri": "file:///data/v1"}),
        ("output", {"storageUri": "file:///store"}),
        ("baseModel", {"storageUri": "file:///models/base"}),
    ],
)
def test_a_folder_of_one_machine_is_refused_with_what_to_use(field: str, value: object) -> None:
    error = unseen_by_pods(a_spec(**{field: value}))
    assert error is not None
    assert error.startswith(
        f"{field}.storageUri is on file://, which pods cannot reach: use pvc://"
    )


@pytest.mark.parametrize("uri", ["named://english-small", "hf://org/name", "pvc://models/base"])
def test_base_models_come_from_where_pods_can_reach(uri: str) -> None:
    assert unseen_by_pods(a_spec(baseModel={"storageUri": uri})) is None
