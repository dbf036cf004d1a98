"""The programs of one machine: what each is started with. Pure."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from sentops_cli.home import Home
from sentops_cli.ports import Ports
from sentops_cli.processes import MARKER
from sentops_cli.secrets_file import Secrets

LOCALHOST = "127.0.0.1"


@dataclass(frozen=True)
class Program:
    """A command that serves `/health/live` and `/health/ready` on its port."""

    name: str
    port: int
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)  # holds secrets

    @property
    def url(self) -> str:
        return f"http://{LOCALHOST}:{self.port}"


def local_programs(
    home: Home, ports: Ports, secrets: Secrets, *, database_url: str, python: str
) -> tuple[Program, ...]:
    """In the order in which they are started and waited for."""
    trainer_url = f"http://{LOCALHOST}:{ports.trainer}"
    store = home.store.as_uri()
    to_trainer = {"TRAINER_URL": trainer_url, "TRAINER_TOKEN": secrets.trainer_token}
    backoffice = {
        "DATABASE_URL": database_url,
        "STORE_URI": store,
        "API_TOKEN": secrets.backoffice_token,
        **to_trainer,
    }
    if secrets.first_admin_password is not None:
        backoffice["FIRST_ADMIN_PASSWORD"] = secrets.first_admin_password
    settings: dict[str, dict[str, str]] = {
        "model": {"CONTROL_TOKEN": secrets.control_token, "CACHE_DIR": str(home.model_cache)},
        "trainer": {
            "DATABASE_URL": database_url,
            "STORE_URI": store,
            "MODEL_URL": f"http://{LOCALHOST}:{ports.model}",
            "MODEL_CONTROL_TOKEN": secrets.control_token,
            "TOKEN": secrets.trainer_token,
            "RUNS_DIR": str(home.runs),
            "PUBLIC_URL": trainer_url,
            "BACKOFFICE_URL": f"http://{LOCALHOST}:{ports.backoffice}",
        },
        "web": {
            "DATABASE_URL": database_url,
            "SPOOL_DIR": str(home.spool),
            "SIGNING_KEY": secrets.signing_key,
            **to_trainer,
        },
        "backoffice": backoffice,
        "monitor": {"DATABASE_URL": database_url},
    }
    modules = {"model": "sentops_model_server"}
    port_of = dict(ports)
    return tuple(
        Program(
            name=name,
            port=port_of[name],
            command=(python, "-m", modules.get(name, f"sentops_{name}")),
            environment=prefixed(name, own | {"HOST": LOCALHOST, "PORT": str(port_of[name])})
            | {MARKER: str(home.root)},
        )
        for name, own in settings.items()
    )


def prefixed(program: str, settings: Mapping[str, str]) -> dict[str, str]:
    return {f"SENTOPS_{program.upper()}_{key}": value for key, value in settings.items()}


def inherited(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our own environment without what would reach into a program's settings from outside.

    `SENTOPS_CACHE` (base models) and settings such as log levels stay: the person at the shell set
    them for the programs. Secrets and addresses are always overwritten by ours.
    """
    source = os.environ if environment is None else environment
    return {key: value for key, value in source.items() if key != "DATABASE_URL"}
