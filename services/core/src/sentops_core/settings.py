"""Settings that every service has; each program adds its own fields and its own prefix."""

import sys
from typing import TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """Read once in `__main__` from `SENTOPS_<PROGRAM>_*`; subclasses set `env_prefix` and the port."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)
    log_level: str = "INFO"
    # Whose X-Forwarded-* headers are believed: the reverse proxy's address, never "*" on a public port.
    forwarded_allow_ips: str = "127.0.0.1"


_Settings = TypeVar("_Settings", bound=ServiceSettings)


def read_settings(kind: type[_Settings]) -> _Settings:
    """The program's settings from its environment; what is missing or wrong is named, and ends the program."""
    try:
        return kind()
    except ValidationError as error:
        prefix = kind.model_config.get("env_prefix", "")
        problems = [
            f"{prefix}{'_'.join(map(str, one['loc'])).upper() or '*'}: {one['msg']}"
            for one in error.errors()
        ]
        between = "\n  " if len(problems) > 1 else " "
        sys.exit(between.join(["Settings are missing or wrong:", *problems]))
