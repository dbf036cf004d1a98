"""What a substrate cannot honour is refused with a sentence, not ignored."""

from sentops_core.artifacts.places import claim_of, is_on_claim, place_at
from sentops_core.domain.errors import InvalidInput
from sentops_core.domain.reach import unseen_by_pods
from sentops_core.domain.resources import PodTemplate, Resources, TrainingJobSpec


def require_one_machine(spec: TrainingJobSpec, model_name: str) -> None:
    """InvalidInput for whatever only a cluster can honour; one machine serves one model."""
    if spec.model_name != model_name:
        raise InvalidInput(
            f"This machine serves the model '{model_name}', not '{spec.model_name}': set modelName to it."
        )
    for uri in (spec.dataset.storage_uri, spec.output.storage_uri):
        if uri.startswith("pvc://"):
            raise InvalidInput(
                f"One machine has no volume claims such as {uri!r}; use file:///absolute/path or s3://bucket/prefix."
            )
        place_at(uri)
    refused = [
        (spec.pod_template != PodTemplate(), "podTemplate"),
        (spec.trainer.num_nodes != 1, "trainer.numNodes over 1"),
        (spec.trainer.image is not None, "trainer.image"),
        (spec.trainer.resources != Resources(), "trainer.resources"),
        (spec.base_model.secret_ref is not None, "baseModel.secretRef (set HF_TOKEN instead)"),
        (spec.base_model.storage_uri.startswith("pvc://"), "a baseModel on pvc://"),
    ]
    found = [name for is_set, name in refused if is_set]
    if found:
        raise InvalidInput(
            f"On one machine this cannot be honoured: {', '.join(found)}. Leave it out."
        )


def require_cluster(spec: TrainingJobSpec) -> None:
    """InvalidInput for places that no pod can see, or that are no places."""
    if why := unseen_by_pods(spec):
        raise InvalidInput(why)
    place_at(spec.dataset.storage_uri)
    place_at(spec.output.storage_uri)
    if is_on_claim(spec.base_model.storage_uri):
        claim_of(spec.base_model.storage_uri)
