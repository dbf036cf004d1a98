"""What only the operator can know about a TrainingJob's spec: whether a cluster can honour it."""

from sentops_core.domain.resources import TrainingJobSpec

_REACHABLE = ("pvc://", "s3://")


def spec_error(spec: TrainingJobSpec) -> str | None:
    """The sentence for its author; None for a spec that can be carried out."""
    for field, uri in (
        ("dataset.storageUri", spec.dataset.storage_uri),
        ("output.storageUri", spec.output.storage_uri),
    ):
        if not uri.startswith(_REACHABLE):
            scheme = uri.partition("://")[0]
            return f"{field} is on {scheme}://, which pods cannot reach: use pvc://CLAIM/PATH or s3://BUCKET/PATH."
    if spec.base_model.storage_uri.startswith("file://"):
        return "baseModel.storageUri is on file://, which pods cannot reach: use pvc://, hf:// or named://."
    return None
