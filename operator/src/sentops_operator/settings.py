"""Settings of the operator, read from SENTOPS_OPERATOR_*; the chart sets every one of them."""

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from sentops_core.domain.resources import PodTemplate, Resources
from sentops_core.settings import ServiceSettings


def _comma_separated(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="SENTOPS_OPERATOR_")

    host: str = "0.0.0.0"  # noqa: S104 - probes, metrics and progress come from other pods
    port: int = Field(default=8080, ge=0, le=65535)

    namespaces: Names = ()  # none named: all of them
    namespace: str  # our own: the lease lives there
    pod_name: str  # who we are among replicas
    leader_election: bool = True
    workers: int = Field(default=8, ge=1, le=64)
    resync_seconds: float = Field(default=300, gt=0)

    image_pull_policy: str = Field(default="IfNotPresent", pattern="^(Always|IfNotPresent|Never)$")
    image_pull_secrets: Names = ()
    storage_secret: str | None = None  # its keys become environment of runs and model servers

    trainer_image: str
    status_url: str = Field(pattern="^https?://")
    run_service_account: str = "default"
    run_resources: Resources = Resources()
    work_storage_size: str = ""  # left out: an emptyDir, and a killed run starts over
    work_storage_class: str = ""
    # Several nodes can only share a class that many may mount; else each of their runs has an emptyDir.
    work_access_mode: Literal["ReadWriteOnce", "ReadWriteMany"] = "ReadWriteOnce"
    # Base models are kept between runs on this claim, else beside what a run writes to a claim.
    cache_claim: str | None = None
    cache_beside_output: bool = True

    model_image: str
    model_service_account: str = "default"
    model_resources: Resources = Resources()
    model_replicas: int = Field(default=2, ge=1, le=1000)
    model_max_replicas: int = Field(default=2, ge=1, le=1000)
    model_cpu_target_percent: int = Field(default=70, ge=1, le=100)
    model_pod: PodTemplate = PodTemplate()
    model_fast_path: bool = True  # False: full models answer every text
    model_traces_endpoint: str = ""  # where model servers send traces to, by OTLP over HTTP

    @model_validator(mode="after")
    def _is_coherent(self) -> Self:
        if self.model_max_replicas < self.model_replicas:
            raise ValueError("MODEL_MAX_REPLICAS cannot be less than MODEL_REPLICAS")
        scales = self.model_max_replicas > self.model_replicas
        asked = {**self.model_resources.requests, **self.model_resources.limits}
        if scales and "cpu" not in asked:
            raise ValueError(
                "to scale, MODEL_RESOURCES must request cpu: the target is a share of it"
            )
        return self

    @property
    def resync(self) -> timedelta:
        return timedelta(seconds=self.resync_seconds)
