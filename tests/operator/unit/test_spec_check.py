"""What only the operator can know about a TrainingJob's spec."""

import pytest

from sentops_core.domain.resources import TrainingJobSpec
from sentops_operator.spec_check import spec_error
from tests.operator.actors import a_manifest


def a_spec(**fields: object) -> TrainingJobSpec:
    return TrainingJobSpec.model_validate({**a_manifest()["spec"], **fields})


def test_a_spec_that_a_cluster_can_honour_has_no_error() -> None:
    assert spec_error(a_spec()) is None
    assert spec_error(a_spec(output={"storageUri": "s3://bucket/it"})) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (
            "dataset",
            {"storageUri": "file:///data/v1", "contentHash": a_manifest()["spec"]["dataset"]["contentHash"]},
        ),
        ("output", {"storageUri": "file:///store"}),
        ("baseModel", {"storageUri": "file:///models/base"}),
    ],
)  # fmt: skip
def test_a_folder_of_one_machine_is_refused_with_what_to_use(field: str, value: object) -> None:
    error = spec_error(a_spec(**{field: value}))
    assert error is not None
    assert error.startswith(
        f"{field}.storageUri is on file://, which pods cannot reach: use pvc://"
    )


@pytest.mark.parametrize("uri", ["named://english-small", "hf://org/name", "pvc://models/base"])
def test_base_models_come_from_where_pods_can_reach(uri: str) -> None:
    assert spec_error(a_spec(baseModel={"storageUri": uri})) is None
