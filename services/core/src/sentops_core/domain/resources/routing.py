"""Who serves: what web asks the control plane."""

from typing import Literal

from pydantic import Field

from sentops_core.domain.base import Digest, Document, Integer, Percentage


class Variant(Document):
    """One answer to "who serves": web posts to `<url>/predict`."""

    name: Literal["champion", "candidate"]
    url: str
    model_version: str
    digest: Digest
    weight: Percentage
    shadow: bool = False


class Routing(Document):
    """GET /routing of the trainer. No variants: nothing is live yet. Weights add up to 100 otherwise."""

    revision: Integer = Field(ge=0)
    variants: tuple[Variant, ...] = ()
