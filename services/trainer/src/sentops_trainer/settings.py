"""Settings of the control plane, read from SENTOPS_TRAINER_*."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from sentops_core.settings import ServiceSettings


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="SENTOPS_TRAINER_")

    port: int = Field(default=8502, ge=0, le=65535)
    database_url: SecretStr
    token: SecretStr  # what backoffice, monitor and the command present
    store_uri: str  # root of the artefact store
    model_url: str = "http://127.0.0.1:8501"
    model_control_token: SecretStr
    backoffice_url: str = "http://127.0.0.1:8001"  # where /backoffice/* of this port leads
    public_url: str | None = None  # where runs report their progress; left out: our own address
    runs_dir: Path
    model_name: str = "sentiment"
    converge_seconds: float = Field(default=1.0, gt=0, le=60)
    run_threads: int = Field(
        default=2, ge=1, le=256
    )  # of the two cores; the run is niced below the servers

    @property
    def progress_url(self) -> str:
        return self.public_url or f"http://{self.host}:{self.port}"
