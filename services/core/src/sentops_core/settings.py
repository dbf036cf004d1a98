"""Settings that every service has; each program adds its own fields and its own prefix."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """Read once in `__main__` from `SENTOPS_<PROGRAM>_*`; subclasses set `env_prefix` and the port."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)
    log_level: str = "INFO"
    # Whose X-Forwarded-* headers are believed: the reverse proxy's address, never "*" on a public port.
    forwarded_allow_ips: str = "127.0.0.1"
