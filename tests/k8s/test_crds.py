"""The custom resource definitions: what they say, set by themselves, refuse and allow to change."""

import re
from typing import Any

import pytest

from sentops_core.domain.base import Document
from sentops_core.domain.resources import ModelVersion, RetrainPolicy, TrainingJob
from tests.k8s.api_server import CRDS, CustomResource, Json, every_schema, rules_of
from tests.k8s.documents import (
    HASH,
    a_full_document,
    a_model_version,
    a_retrain_policy,
    a_training_job,
)

TRAINING_JOB = CustomResource.read("trainingjob")
MODEL_VERSION = CustomResource.read("modelversion")
RETRAIN_POLICY = CustomResource.read("retrainpolicy")
each = pytest.mark.parametrize(
    ("resource", "model", "smallest"),
    [
        (TRAINING_JOB, TrainingJob, a_training_job()),
        (MODEL_VERSION, ModelVersion, a_model_version(approval={"approved": True})),
        (RETRAIN_POLICY, RetrainPolicy, a_retrain_policy()),
    ],
    ids=str,
)
STEPS = [{"setWeight": 5}, {"pauseSeconds": 60}, {"analysis": True}]


def described(json_schema: Json, part: Json) -> Json:
    """A pydantic field's own schema: references followed, `or null` taken off."""
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        return described(json_schema, json_schema["$defs"][name])
    if "anyOf" in part:
        (kept,) = (one for one in part["anyOf"] if one != {"type": "null"})
        return described(json_schema, kept)
    return part


def differences(json_schema: Json, part: Json, schema: Json, path: str) -> list[str]:
    """Fields, required fields, bounds and closed sets that are not the same in model and schema."""
    part = described(json_schema, part)
    found = []
    fields, ours = set(part.get("properties", {})), set(schema.get("properties", {}))
    if fields and fields != ours:
        found.append(f"{path}: model has {fields - ours}, schema has {ours - fields}")
    if set(part.get("required", ())) != set(schema.get("required", ())):
        found.append(f"{path}: required {part.get('required')} and {schema.get('required')}")
    words = part.get("enum") or ([part["const"]] if "const" in part else None)
    if words != schema.get("enum") and not path.endswith(".reason"):
        found.append(f"{path}: {words} and {schema.get('enum')}")
    for bound in (
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "maxProperties",
    ):
        known = part.get(bound)
        if known is not None and known != schema.get(bound):
            found.append(f"{path}: {bound} {known} and {schema.get(bound)}")
    for name in fields & ours:
        inner = (part["properties"][name], schema["properties"][name])
        found += differences(json_schema, *inner, f"{path}.{name}")
    if "items" in part:
        found += differences(json_schema, part["items"], schema["items"], f"{path}[]")
    values = part.get("additionalProperties")
    if isinstance(values, dict) and values and "additionalProperties" in schema:
        found += differences(json_schema, values, schema["additionalProperties"], f"{path}.*")
    return found


@each
def test_schema_and_model_have_the_same_fields_bounds_and_words(
    resource: CustomResource, model: type[Document], smallest: Json
) -> None:
    json_schema = model.model_json_schema(by_alias=True)
    properties = json_schema["properties"]
    for part in ("spec", "status"):
        known = resource.schema["properties"][part]
        assert differences(json_schema, properties[part], known, part) == []


@each
def test_schema_and_model_set_the_same_defaults(
    resource: CustomResource, model: type[Document], smallest: Json
) -> None:
    for more in ({}, {"promotion": {"rollout": {"steps": STEPS}}}, {"gate": {"metrics": [{}]}}):
        if more and resource is not TRAINING_JOB:
            continue
        document = smallest | {"spec": smallest["spec"] | more}
        by_the_server = resource.stored(document)
        by_the_model = model.model_validate(document).to_document()
        assert without_empty(by_the_server["spec"]) == without_empty(by_the_model["spec"])
        status = by_the_model["status"]
        assert by_the_server["status"] == {key: status[key] for key in by_the_server["status"]}


def without_empty(value: Json) -> Json:
    """Absent, "", [] and {} mean the same in every field of ours."""
    if isinstance(value, dict):
        kept = {key: without_empty(child) for key, child in value.items()}
        return {key: child for key, child in kept.items() if child not in ("", [], {})}
    if isinstance(value, list):
        return [without_empty(child) for child in value]
    return value


@each
def test_a_default_keeps_the_rules_as_it_is_written(
    resource: CustomResource, model: type[Document], smallest: Json
) -> None:
    """The API server tries a default before it sets the defaults inside it."""
    for path, schema in every_schema(resource.schema):
        if "default" in schema:
            assert rules_of(schema, schema["default"]) == [], path


@each
def test_every_field_is_described(
    resource: CustomResource, model: type[Document], smallest: Json
) -> None:
    bare = [path for path, schema in every_schema(resource.schema) if not schema.get("description")]
    assert bare == [("metadata",)], "the API server takes no description of metadata"


@each
def test_every_refusal_by_a_rule_is_a_sentence(
    resource: CustomResource, model: type[Document], smallest: Json
) -> None:
    for path, schema in every_schema(resource.schema):
        for rule in schema.get("x-kubernetes-validations", ()):
            assert rule["message"].endswith("."), path


@each
def test_every_list_says_how_appliers_share_it(
    resource: CustomResource, model: type[Document], smallest: Json
) -> None:
    for path, schema in every_schema(resource.schema):
        if schema.get("type") == "array":
            assert schema.get("x-kubernetes-list-type") in {"atomic", "map"}, path


@each
def test_a_printer_column_names_a_field(
    resource: CustomResource, model: type[Document], smallest: Json
) -> None:
    fields = {".".join(path) for path, _ in every_schema(resource.schema)}
    for column in resource.version["additionalPrinterColumns"]:
        path = re.sub(r"\[\?\(@\.\w+==\"\w+\"\)\]", ".[]", column["jsonPath"]).strip(".")
        assert path in fields | {"metadata.creationTimestamp"}
        kept = resource.schema["properties"]
        if column["type"] == "integer":
            for part in path.split("."):
                kept = kept[part].get("properties", kept[part])
            assert kept["type"] == "integer"


def test_the_columns_are_those_that_people_asked_for() -> None:
    def columns(resource: CustomResource, priority: int) -> list[str]:
        found = resource.version["additionalPrinterColumns"]
        return [column["name"] for column in found if column.get("priority", 0) == priority]

    assert columns(TRAINING_JOB, 0) == ["Model", "Phase", "Progress", "Verdict", "Version", "Age"]
    assert columns(TRAINING_JOB, 1) == ["Attempt", "Job", "Reason"]
    assert columns(MODEL_VERSION, 0) == [
        "Model",
        "Version",
        "Phase",
        "Weight",
        "F1",
        "Ready",
        "Age",
    ]
    assert columns(MODEL_VERSION, 1) == ["Previous", "Digest", "Reason"]
    assert columns(RETRAIN_POLICY, 0) == ["Model", "Outcome", "Trigger", "Last Training", "Age"]
    assert columns(RETRAIN_POLICY, 1) == ["Job", "Today", "Dry Run", "Reason"]


@pytest.mark.parametrize("name", ["trainingjob", "modelversion", "retrainpolicy"])
def test_a_definition_fits_into_the_annotation_of_client_side_apply(name: str) -> None:
    assert (CRDS / f"{name}.yaml").stat().st_size < 262_144


def test_a_roll_out_and_a_verdict_look_the_same_in_both_kinds() -> None:
    job, version = (one.schema["properties"] for one in (TRAINING_JOB, MODEL_VERSION))
    rollout = job["spec"]["properties"]["promotion"]["properties"]["rollout"]
    assert rollout == version["spec"]["properties"]["rollout"]
    verdict = job["status"]["properties"]["gateResult"]
    assert verdict == version["spec"]["properties"]["gateResult"]


def test_a_policys_template_is_a_part_of_a_jobs_spec() -> None:
    job, policy = (one.schema["properties"]["spec"] for one in (TRAINING_JOB, RETRAIN_POLICY))
    template = policy["properties"]["template"]["properties"]
    base = template.pop("baseModel")
    assert base.pop("default") == {"storageUri": "named://multilingual-small"}
    whole = job["properties"]
    assert base == whole["baseModel"]
    assert template == {name: whole[name] for name in template}
    left_out = {"modelName", "dataset", "output", "suspend", "baseModel"}
    assert template.keys() == whole.keys() - left_out


def job(**spec: Any) -> Json:
    return a_training_job(**spec)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (job(trainer={"hyperparameters": {"learningRate": "0"}}), "learningRate must be over 0 and at most 0.01"),
        (job(trainer={"hyperparameters": {"learningRate": "2"}}), "learningRate must be over 0 and at most 0.01"),
        (job(trainer={"hyperparameters": {"learningRate": "fast"}}), "learningRate must be over 0"),
        (job(trainer={"hyperparameters": {"learningRate": "1e999"}}), "learningRate must be over 0"),
        (job(trainer={"hyperparameters": {"weightDecay": "-0.1"}}), "weightDecay must be from 0 to 1"),
        (job(trainer={"hyperparameters": {"warmupRatio": "0.6"}}), "warmupRatio must be from 0 to 0.5"),
        (job(trainer={"method": "Linear", "hyperparameters": {"epochs": 3}}), "Linear uses only maxLength"),
        (job(trainer={"method": "Linear", "numNodes": 2}), "Linear trains on one node"),
        (job(gate={"metrics": [{"min": "70"}]}), "min is a share from 0 to 1"),
        (job(gate={"perClassMin": {"recall": "1.1"}}), "recall is a share from 0 to 1"),
        (job(gate={"mustPass": [{"text": "wow", "label": "joy"}]}), "does not hold"),
        (job(promotion={"rollout": {"steps": [{}]}}), "exactly one of"),
        (job(promotion={"rollout": {"steps": [STEPS[0] | STEPS[1]]}}), "exactly one of"),
        (job(podTemplate={"tolerations": [{"effect": "NoSchedule"}]}), "set operator: Exists"),
        (job(podTemplate={"tolerations": [{"operator": "Exists", "value": "x"}]}), "has no value"),
        (job(podTemplate={"tolerations": [{"operator": "Exists", "tolerationSeconds": 1}]}), "NoExecute"),
        (job(modelName="Reviews"), "model's name has lower-case letters"),
        (job(baseModel={"storageUri": "bert-base"}), "use named://multilingual-small"),
        (job(output={"storageUri": "hf://org/name"}), "use s3://bucket/prefix"),
        (job(dataset={"storageUri": "s3://b/p", "contentHash": "v7"}), "64 hexadecimal digits"),
        (job(dataset={"storageUri": "s3://b/p", "contentHash": HASH, "labels": ["a", "a"]}), "named once"),
        (job() | {"metadata": {"name": "a.b"}}, "no dots"),
        (job() | {"metadata": {"name": "a" * 64}}, "at most 63 characters"),
    ],
)  # fmt: skip
def test_a_bad_spec_is_refused_with_a_sentence(document: Json, sentence: str) -> None:
    (refusal,) = TRAINING_JOB.refusals(document)
    assert re.search(sentence, refusal), refusal


def policy(**triggers: Any) -> Json:
    return a_retrain_policy(triggers=triggers)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (policy(), "at least one of newLabels, quality, drift, schedule"),
        (policy(quality={"floor": "75"}), "floor is a share over 0"),
        (policy(quality={"floor": "0"}), "floor is a share over 0"),
        (policy(schedule={"cron": "@daily"}), "cron has five fields"),
        (policy(schedule={"cron": "0 0 3 * * *"}), "cron has five fields"),
        (policy(schedule={"cron": "0 3 * * *", "timeZone": "../etc"}), "a name such as Europe/Rome"),
        (policy(drift={"windows": 0}), "minimum"),
        (a_retrain_policy(modelName="Reviews"), "model's name has lower-case letters"),
        (a_retrain_policy() | {"metadata": {"name": "a.b"}}, "no dots"),
    ],
)  # fmt: skip
def test_a_bad_policy_is_refused_with_a_sentence(document: Json, sentence: str) -> None:
    (refusal,) = RETRAIN_POLICY.refusals(document)
    assert re.search(sentence, refusal), refusal


def test_a_policy_can_be_changed_at_any_time() -> None:
    before = a_full_document(RETRAIN_POLICY)
    after = before | {"spec": a_retrain_policy(suspend=True)["spec"]}
    assert RETRAIN_POLICY.refusals(after, old=before) == []


OTHER_JOB: dict[str, Json] = {
    "modelName": "other",
    "baseModel": {"storageUri": "hf://org/other"},
    "dataset": {"storageUri": "s3://bucket/other", "contentHash": HASH},
    "trainer": {},
    "podTemplate": {},
    "output": {"storageUri": "pvc://other/place"},
    "gate": {},
    "promotion": {},
    "fastPath": "Off",
    "suspend": False,
    "backoffLimit": 7,
    "activeDeadlineSeconds": 777,
    "ttlSecondsAfterFinished": 777,
}
OTHER_VERSION: dict[str, Json] = {
    "modelName": "other",
    "version": 777,
    "artifact": {"storageUri": "s3://b/p", "digest": HASH, "sizeBytes": 7},
    "trainingJobRef": {"name": "other"},
    "datasetHash": "sha256:" + "b" * 64,
    "labels": ["bad", "good"],
    "gateResult": {"verdict": "Pass", "reasons": [], "samples": 7},
    "desiredState": "Champion",
    "approval": {"approved": False, "reason": "changed my mind"},
    "rollout": {},
}


@pytest.mark.parametrize(
    "status", [{"attempt": 1}, {"phase": "Failed"}, {"phase": "Running", "attempt": 2}]
)
def test_a_started_job_keeps_its_spec(status: Json) -> None:
    before = a_full_document(TRAINING_JOB) | {"status": status}
    assert OTHER_JOB.keys() == before["spec"].keys()
    for field, value in OTHER_JOB.items():
        after = before | {"spec": before["spec"] | {field: value}}
        refusals = TRAINING_JOB.refusals(after, old=before)
        fixed = field not in {"suspend", "ttlSecondsAfterFinished"}
        assert ["has started" in one for one in refusals] == [True] * fixed, field
    shorter = {
        key: value for key, value in before["spec"].items() if key != "activeDeadlineSeconds"
    }
    (refusal,) = TRAINING_JOB.refusals(before | {"spec": shorter}, old=before)
    assert "has started" in refusal


def test_a_job_can_be_changed_until_it_starts() -> None:
    before = a_training_job(suspend=True) | {"status": {"phase": "Suspended", "attempt": 0}}
    after = a_training_job(trainer={"hyperparameters": {"epochs": 1}})
    assert TRAINING_JOB.refusals(after | {"status": before["status"]}, old=before) == []
    assert TRAINING_JOB.refusals(after, old=a_training_job()) == []


def test_a_version_keeps_its_spec_but_for_what_people_wish() -> None:
    before = a_full_document(MODEL_VERSION)
    assert OTHER_VERSION.keys() == before["spec"].keys()
    for field, value in OTHER_VERSION.items():
        after = before | {"spec": before["spec"] | {field: value}}
        refusals = MODEL_VERSION.refusals(after, old=before)
        fixed = field not in {"desiredState", "approval"}
        assert ["only desiredState and approval" in one for one in refusals] == [True] * fixed, (
            field
        )
    for field in ("trainingJobRef", "gateResult"):
        less = {key: value for key, value in before["spec"].items() if key != field}
        (refusal,) = MODEL_VERSION.refusals(before | {"spec": less}, old=before)
        assert "only desiredState and approval" in refusal
