"""Settings of the backoffice, read from SENTOPS_BACKOFFICE_*."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from sentops_backoffice.certificate import Address
from sentops_core.domain.base import ModelName
from sentops_core.settings import ServiceSettings


def _address(text: str) -> str:
    if text:
        Address.parse(text)
    return text


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="SENTOPS_BACKOFFICE_")

    port: int = Field(default=8001, ge=0, le=65535)
    database_url: SecretStr
    trainer_url: str = "http://127.0.0.1:8502"
    trainer_token: SecretStr
    store_uri: str  # root of the artefact store
    model_name: ModelName = "sentiment"
    api_token: SecretStr | None = None  # an admin's token, for the command and for automation
    # Used once: when there is no account at all, `admin` is made with it and must change it at the first login.
    first_admin_password: SecretStr | None = None
    max_upload_bytes: int = Field(default=64 << 20, ge=1024)
    # host or host:port that visitors reach by HTTPS: until when its certificate is good is told in the metrics.
    certificate_host: Annotated[str, AfterValidator(_address)] = ""
