"""What the model server reads from its environment, as SENTOPS_MODEL_<FIELD>."""

import math
import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from sentops_core.domain.base import Digest, StorageUri
from sentops_core.inference.session import Provider
from sentops_core.settings import ServiceSettings

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def _cores() -> int:
    """The cores this process may use, which in a container or under taskset is not the machine's count."""
    allowed = len(os.sched_getaffinity(0))
    try:
        return min(allowed, cores_of_quota(_QUOTA.read_text()) or allowed)
    except OSError:  # no control groups of version 2
        return allowed


def cores_of_quota(text: str) -> int | None:
    """What a container's CPU limit leaves, rounded up; None without one. `text`: of cpu.max, `150000 100000`."""
    quota, _, period = text.partition(" ")
    return math.ceil(int(quota) / int(period)) if quota != "max" else None


class ModelSettings(ServiceSettings):
    model_config = SettingsConfigDict(
        env_prefix="SENTOPS_MODEL_", frozen=True, extra="ignore", env_ignore_empty=True
    )

    port: int = Field(default=8501, ge=0, le=65535)
    model_name: str = Field(default="sentiment", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    # Who may change the slots. Without a token nobody can, and the server serves only its fixed artefact.
    control_token: SecretStr | None = None
    cache_dir: Annotated[Path, AfterValidator(Path.expanduser)] = Path("~/.cache/sentops/model")
    # A fixed artefact (in a cluster: the Deployment names it, a new version is a new pod).
    artifact_uri: StorageUri | None = None
    artifact_digest: Digest | None = None
    version: str | None = None
    # Where Kubernetes reads a container's last words, if it can be written to.
    termination_log: Path = Path("/dev/termination-log")

    workers: int = Field(default_factory=_cores, ge=1, le=256)
    # About five seconds of work for two cores and a small int8 model; waiting longer helps nobody.
    queue_texts: int = Field(default=2048, ge=1)
    max_texts: int = Field(default=512, ge=1)
    max_body_bytes: int = Field(default=2_000_000, ge=1024)
    # For requests that do not say in x-request-timeout-ms how long they may take; 0: as long as it takes.
    timeout_ms: int = Field(default=60_000, ge=0)
    # False: the full model answers every text, also where the artefact has a student.
    fast_path: bool = True
    # "auto": a GPU for float32 models, where onnxruntime-gpu (the extra `gpu`) is installed and finds one.
    provider: Provider = "auto"
    # Texts of about one length computed together; "auto": on a GPU, since on a CPU it only adds work.
    # Never of an 8-bit model, whose answers would depend on their company.
    batching: Literal["auto", "on", "off"] = "auto"
    batch_texts: int = Field(default=32, ge=2, le=512)
    # Answers known by the exact text; 0 of either turns that off.
    answer_cache_entries: int = Field(default=10_000, ge=0)
    answer_cache_bytes: int = Field(default=10_000_000, ge=0)

    @model_validator(mode="after")
    def _is_coherent(self) -> Self:
        fixed = (self.artifact_uri, self.artifact_digest, self.version)
        if any(fixed) and not all(fixed):
            raise ValueError(
                "ARTIFACT_URI, ARTIFACT_DIGEST and VERSION belong together: set all three or none"
            )
        if self.max_texts > self.queue_texts:
            raise ValueError(
                "MAX_TEXTS cannot be larger than QUEUE_TEXTS: such a request could never be queued"
            )
        return self
