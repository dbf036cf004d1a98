"""The TrainingJob that a policy asks for."""

from pydantic import ValidationError

from sentops_core.domain.errors import InvalidInput
from sentops_core.domain.resources import (
    DatasetRef,
    Metadata,
    Output,
    RetrainPolicy,
    RetrainPolicySpec,
    RetrainStart,
    TrainingJob,
    TrainingJobSpec,
)
from sentops_core.domain.retrain import POLICY_LABEL
from sentops_core.store.retrain_evidence import TRIGGER_ANNOTATION

_NO_HASH = "sha256:" + "0" * 64


def training_job(
    policy: RetrainPolicy, dataset: DatasetRef, *, start: RetrainStart, store_uri: str
) -> TrainingJob:
    """InvalidInput when the template does not fit the dataset."""
    labels = {POLICY_LABEL: policy.metadata.name}
    annotations = {TRIGGER_ANNOTATION: start.trigger.value} if start.trigger else {}
    return TrainingJob(
        metadata=Metadata(name=start.name, labels=labels, annotations=annotations),
        spec=_job_spec(policy.spec, dataset, store_uri),
    )


def job_spec_to_try(spec: RetrainPolicySpec, store_uri: str) -> TrainingJobSpec:
    """As it would be, on a dataset that need not exist: what a substrate refuses is known before it is wanted."""
    labels = {example.label for example in spec.template.gate.must_pass}
    labels |= set(DatasetRef.model_fields["labels"].default)
    dataset = DatasetRef(
        storage_uri=store_uri, content_hash=_NO_HASH, labels=tuple(sorted(labels))[:32]
    )
    return _job_spec(spec, dataset, store_uri)


def _job_spec(spec: RetrainPolicySpec, dataset: DatasetRef, store_uri: str) -> TrainingJobSpec:
    template = spec.template
    try:
        return TrainingJobSpec(
            model_name=spec.model_name,
            base_model=template.base_model,
            dataset=dataset,
            trainer=template.trainer,
            pod_template=template.pod_template,
            output=Output(storage_uri=store_uri),
            gate=template.gate,
            promotion=template.promotion,
            fast_path=template.fast_path,
            backoff_limit=template.backoff_limit,
            active_deadline_seconds=template.active_deadline_seconds,
            ttl_seconds_after_finished=template.ttl_seconds_after_finished,
        )
    except ValidationError as error:
        why = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise InvalidInput(why.removeprefix("Value error, ")) from error
