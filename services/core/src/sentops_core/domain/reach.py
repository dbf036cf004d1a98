"""What a training's pods can see of what its spec names."""

from sentops_core.domain.resources import TrainingJobSpec

_STORES = "pvc://CLAIM/PATH or s3://BUCKET/PATH"


def unseen_by_pods(spec: TrainingJobSpec) -> str | None:
    """The sentence for the author of a spec that names a folder of one machine; None when pods can see it all."""
    for field, uri, instead in (
        ("dataset", spec.dataset.storage_uri, _STORES),
        ("output", spec.output.storage_uri, _STORES),
        ("baseModel", spec.base_model.storage_uri, "pvc://, hf:// or named://"),
    ):
        if uri.startswith("file://"):
            return f"{field}.storageUri is on file://, which pods cannot reach: use {instead}."
    return None
