"""What must be the same after the move: the key of prediction ids, and the tokens that people's scripts hold."""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentops_cli.outcome import CommandError, ExitCode
from sentops_cli.secrets_file import load

# Keys of the chart's Secret (charts/sentops/values.yaml, secrets.existingSecret) and what .env calls them.
IN_ENV = {
    "trainer-token": "TRAINER_TOKEN",
    "backoffice-api-token": "BACKOFFICE_API_TOKEN",
    "web-signing-key": "WEB_SIGNING_KEY",
    "first-admin-password": "FIRST_ADMIN_PASSWORD",
}
IN_JSON = {
    "trainer-token": "trainer_token",
    "backoffice-api-token": "backoffice_token",
    "web-signing-key": "signing_key",
    "first-admin-password": "first_admin_password",
}
# Accounts come with the database; the chart asks for one all the same, at least this long.
FIRST_PASSWORD = "first-admin-password"  # noqa: S105 - the name of a key
_SHORTEST = {FIRST_PASSWORD: 12, "web-signing-key": 32}


@dataclass(frozen=True)
class SecretSource:
    """The file of the one machine that holds its secrets; `settings` is all that a .env says."""

    path: Path
    values: Mapping[str, str] = field(repr=False)
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def is_env(self) -> bool:
        return bool(self.settings)


def read_source(path: Path) -> SecretSource:
    """A state folder's secrets.json, or compose/.env."""
    if path.suffix == ".json":
        found = load(path)
        if found is None:
            raise CommandError(f"There is no {path}.", ExitCode.BAD_INPUT)
        return SecretSource(
            path, {key: value for key, name in IN_JSON.items() if (value := getattr(found, name))}
        )
    settings = _read_env(path)
    values = {key: settings[name] for key, name in IN_ENV.items() if settings.get(name)}
    return SecretSource(path, values, settings)


def _read_env(path: Path) -> dict[str, str]:
    """KEY=value lines as docker compose reads them; what is not quoted has no comment behind it."""
    try:
        text = path.expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}.", ExitCode.BAD_INPUT) from error
    settings: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if not equals or name.startswith("#"):
            continue
        bare = value.strip()
        if len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "'\"":
            bare = bare[1:-1]
        settings[name.strip()] = bare
    if not settings:
        raise CommandError(f"{path} says nothing: it has no KEY=value line.", ExitCode.BAD_INPUT)
    return settings


def secret_manifest(source: SecretSource, name: str) -> dict[str, Any]:
    """The Secret that the chart asks for; CommandError when the file lacks one of them."""
    values = {FIRST_PASSWORD: secrets.token_urlsafe(18), **source.values}
    for key in IN_ENV:
        if len(values.get(key, "")) < _SHORTEST.get(key, 1):
            raise CommandError(
                f"{source.path} does not hold {(IN_ENV if source.is_env else IN_JSON)[key]}, or too short a one.",
                ExitCode.REFUSED,
            )
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "Opaque",
        "data": {key: base64.b64encode(values[key].encode()).decode() for key in IN_ENV},
    }
