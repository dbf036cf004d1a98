"""What the monitor reads from its environment, as SENTOPS_MONITOR_<FIELD>."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from sentops_core.settings import ServiceSettings


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(
        env_prefix="SENTOPS_MONITOR_", frozen=True, extra="ignore", env_ignore_empty=True
    )

    port: int = Field(default=8003, ge=0, le=65535)
    database_url: SecretStr
    # Only what is new is counted, so this is the age of the figures, not a load.
    refresh_seconds: float = Field(default=30, gt=0, le=3600)
    maintenance_seconds: float = Field(default=3600, gt=0, le=86400)
    retention_days: int | None = Field(
        default=None, ge=1, le=36500, description="Predictions are kept for ever when left out."
    )
