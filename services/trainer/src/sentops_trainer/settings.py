"""Settings of the control plane, read from SENTOPS_TRAINER_*; which ones are needed depends on the substrate."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, StringConstraints
from pydantic_settings import SettingsConfigDict

from sentops_core.artifacts.places import place_at
from sentops_core.domain.base import ModelName
from sentops_core.domain.errors import InvalidInput
from sentops_core.settings import ServiceSettings, read_settings
from sentops_trainer.tracking.files import Files

_PREFIX = "SENTOPS_TRAINER_"


class SubstrateName(StrEnum):
    LOCAL = "local"  # one machine: rows, processes, slots of one model server
    KUBERNETES = "kubernetes"  # custom resources, which the operator carries out


def _web_address(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("http://", "https://")):
        raise ValueError("give MLflow's address as http://host:port or https://host")
    return url


class Settings(ServiceSettings):
    """What every substrate needs."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX)

    port: int = Field(default=8502, ge=0, le=65535)
    database_url: SecretStr
    token: SecretStr  # what backoffice, monitor and the command present
    store_uri: str  # root of the artefact store
    backoffice_url: str = "http://127.0.0.1:8001"  # where /backoffice/* of this port leads
    model_name: ModelName = "sentiment"
    # Empty: no mirror. Secret, because it may hold a user's password.
    mlflow_url: Annotated[SecretStr, AfterValidator(_web_address)] | None = None
    mlflow_artifacts: Files = Files.ALL
    retrain_seconds: float = Field(default=60.0, gt=0, le=3600)
    mlflow_seconds: float = Field(default=5.0, gt=0, le=600)


class LocalSettings(Settings):
    model_url: str = "http://127.0.0.1:8501"
    model_control_token: SecretStr
    public_url: str | None = None  # where runs report their progress; left out: our own address
    runs_dir: Path
    converge_seconds: float = Field(default=1.0, gt=0, le=60)
    run_threads: int = Field(
        default=2, ge=1, le=256
    )  # of the two cores; the run is niced below the servers

    @property
    def progress_url(self) -> str:
        return self.public_url or f"http://{self.host}:{self.port}"


def _seen_by_pods(uri: str) -> str:
    if not uri.startswith(("s3://", "pvc://")):
        raise ValueError(
            "pods must see the artefact store: set s3://bucket/prefix or pvc://claim/path"
        )
    try:
        place_at(uri)
    except InvalidInput as error:
        raise ValueError(str(error)) from error
    return uri


class ClusterSettings(Settings):
    # Where TrainingJobs and ModelVersions are read and created.
    namespace: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
    store_uri: Annotated[str, AfterValidator(_seen_by_pods)]
    mirror_seconds: float = Field(default=2.0, gt=0, le=60)


class _Chosen(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix=_PREFIX)

    port: int = Field(default=8502, ge=0, le=65535)
    substrate: SubstrateName = SubstrateName.LOCAL


def read_trainer_settings() -> LocalSettings | ClusterSettings:
    """Ends the program with what is missing for the substrate that SENTOPS_TRAINER_SUBSTRATE names."""
    match read_settings(_Chosen).substrate:
        case SubstrateName.LOCAL:
            return read_settings(LocalSettings)
        case SubstrateName.KUBERNETES:
            return read_settings(ClusterSettings)
