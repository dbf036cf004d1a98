"""A version as one of the answers to "who serves", the same on every substrate."""

from typing import Literal

from sentops_core.domain.resources import ModelVersion, Variant


def variant_of(
    version: ModelVersion,
    name: Literal["champion", "candidate"],
    url: str,
    weight: int,
    *,
    shadow: bool = False,
) -> Variant:
    return Variant(
        name=name,
        url=url,
        model_version=version.metadata.name,
        digest=version.spec.artifact.digest,
        weight=weight,
        shadow=shadow,
    )
