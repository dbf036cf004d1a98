"""The schemas of the custom resources and the pydantic models accept and refuse the same documents."""

import os

import pytest
from hypothesis import HealthCheck, example, given, settings
from pydantic import ValidationError

from sentops_core.domain.resources import ModelVersion, RetrainPolicy, TrainingJob
from tests.k8s.api_server import CustomResource, Json
from tests.k8s.documents import a_full_document, near_documents

TRAINING_JOB = CustomResource.read("trainingjob")
MODEL_VERSION = CustomResource.read("modelversion")
RETRAIN_POLICY = CustomResource.read("retrainpolicy")
RESOURCES = {one.kind: one for one in (TRAINING_JOB, MODEL_VERSION, RETRAIN_POLICY)}
MODELS = {
    "TrainingJob": TrainingJob,
    "ModelVersion": ModelVersion,
    "RetrainPolicy": RetrainPolicy,
}
many = settings(max_examples=400, deadline=None, derandomize=True)


def by_the_model(document: Json) -> list[str]:
    try:
        MODELS[document["kind"]].model_validate(document)
    except ValidationError as error:
        return [f"{one['loc']}: {one['msg']} ({one['input']!r})" for one in error.errors()]
    return []


def agree_on(document: Json) -> bool:
    """Whether it is accepted; an assertion where schema and model do not say the same."""
    by_the_schema = RESOURCES[document["kind"]].refusals(document)
    by_model = by_the_model(document)
    assert bool(by_the_schema) == bool(by_model), {"schema": by_the_schema, "model": by_model}
    return not by_model


@many
@example(a_full_document(TRAINING_JOB))
@given(near_documents(TRAINING_JOB))
def test_a_training_job_is_accepted_by_both_or_by_neither(document: Json) -> None:
    agree_on(document)


@many
@example(a_full_document(MODEL_VERSION))
@given(near_documents(MODEL_VERSION))
def test_a_model_version_is_accepted_by_both_or_by_neither(document: Json) -> None:
    agree_on(document)


@many
@example(a_full_document(RETRAIN_POLICY))
@given(near_documents(RETRAIN_POLICY))
def test_a_retrain_policy_is_accepted_by_both_or_by_neither(document: Json) -> None:
    agree_on(document)


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=str)
def test_a_document_with_every_field_is_accepted(resource: CustomResource) -> None:
    assert agree_on(a_full_document(resource))


@pytest.mark.skipif("KUBECONFIG" not in os.environ, reason="KUBECONFIG names no cluster")
@pytest.mark.parametrize("resource", RESOURCES.values(), ids=str)
def test_a_real_api_server_says_the_same_as_our_reading_of_the_schema(
    resource: CustomResource,
) -> None:
    """Dry runs alone: nothing is created. The CRDs must be installed."""
    from kubernetes import client, config

    api = client.CustomObjectsApi(config.new_client_from_config())
    plural = resource.definition["spec"]["names"]["plural"]
    place = ("sentops.dev", "v1alpha1", "default", plural)
    try:
        api.list_namespaced_custom_object(*place, limit=1)
    except client.ApiException as error:
        pytest.skip(f"the cluster does not know {plural}: {error.reason}")

    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    @given(near_documents(resource))
    def says_the_same(document: Json) -> None:
        document.pop("status", None)  # no part of a creation
        options = {"dry_run": "All", "field_validation": "Strict"}
        try:
            api.create_namespaced_custom_object(*place, document, **options)
            answer = None
        except client.ApiException as error:
            answer = error.body
        refusals = resource.refusals(document)
        assert bool(refusals) == bool(answer), {"schema": refusals, "server": answer}

    says_the_same()
