"""Everything about web that can be set, read once from `SENTOPS_WEB_*`."""

from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from sentops_core.settings import ServiceSettings
from sentops_web.similar import Shown


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="SENTOPS_WEB_")

    port: int = Field(default=8000, ge=0, le=65535)
    database_url: SecretStr
    trainer_url: str
    # Only for the training progress shown on the page; without it the page says less.
    trainer_token: SecretStr | None = None
    # Signs prediction ids and client cookies: changing it disowns both.
    signing_key: SecretStr = Field(min_length=32)
    spool_dir: Path

    spool_max_rows: int = Field(default=200_000, ge=1)
    spool_max_bytes: int = Field(default=512 * 1024 * 1024, ge=1)

    max_text_characters: int = Field(default=10_000, ge=1, le=100_000)
    max_batch_texts: int = Field(default=256, ge=1, le=4096)
    max_file_rows: int = Field(default=20_000, ge=1)
    max_body_bytes: int = Field(default=10_000_000, ge=1)

    # A 5,000-row file passes in one go; after that about 100 texts a second, per client.
    burst_texts: int = Field(default=6_000, ge=1)
    texts_per_second: float = Field(default=100, gt=0)
    burst_votes: int = Field(default=60, ge=1)
    votes_per_second: float = Field(default=1, gt=0)
    # Cookies cost nothing to throw away, so an address has a (wider) limit of its own.
    clients_per_address: int = Field(default=8, ge=1)

    model_timeout_seconds: float = Field(default=30, gt=0)
    explain_budget_seconds: float = Field(default=3, gt=0)
    # Whose texts anybody may read beside an answer: versions of datasets (v3, v7), `sample` for the public reviews that
    # come with Sentops, nothing for none. Other uploads can hold what customers wrote, so each has to be named.
    show_similar: str = "sample"
    # Whatever the request says. Without it, a visitor whom a proxy brings by HTTPS gets such a cookie all the same.
    secure_cookies: bool = False

    @field_validator("show_similar")
    @classmethod
    def _names_versions(cls, value: str) -> str:
        Shown.read(value)
        return value
