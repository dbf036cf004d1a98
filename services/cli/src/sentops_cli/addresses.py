"""Where the programs are: from the state folder, or as the person says by option or environment."""

import getpass
import os
from collections.abc import Mapping
from pathlib import Path

from sentops_cli.home import Home
from sentops_cli.outcome import CommandError, ExitCode
from sentops_cli.programs import LOCALHOST
from sentops_cli.secrets_file import Secrets, load
from sentops_cli.services import Address, Addresses
from sentops_cli.state import PlatformState, read_state


def local_addresses(state: PlatformState, secrets: Secrets) -> Addresses:
    """The programs that this home's supervisor runs."""

    def address(program: str, token: str | None = None, client: str | None = None) -> Address:
        return Address(
            program, f"http://{LOCALHOST}:{state.port_of(program)}", token, client, actor()
        )

    return Addresses(
        web=address("web", client=secrets.client_id),
        trainer=address("trainer", secrets.trainer_token),
        backoffice=address("backoffice", secrets.backoffice_token),
        monitor=address("monitor"),
    )


def find_addresses(
    home: Home, url: str | None, environment: Mapping[str, str] | None = None
) -> Addresses:
    """`url` (web only) and SENTOPS_{TRAINER,BACKOFFICE}_URL with their tokens go before the home's own."""
    given = os.environ if environment is None else environment
    state = read_state(home.state)
    secrets = load(home.secrets)
    local = (
        local_addresses(state, secrets)
        if state is not None and secrets is not None and state.running and state.port_of("web")
        else None
    )

    def remote(program: str, found: str | None, token: str | None) -> Address:
        if found:
            client_id = given.get("SENTOPS_CLIENT_ID")
            return Address(program, found.rstrip("/"), token, client_id, actor())
        if local is None:
            # Refused when it is used, not before: `predict --url` needs no trainer.
            return Address(program, "")
        return next(one for one in local if one.name == program)

    trainer_url = given.get("SENTOPS_TRAINER_URL")
    backoffice_url = given.get("SENTOPS_BACKOFFICE_URL")
    if local is None and not (url or trainer_url or backoffice_url):
        raise CommandError(not_running(home.root), ExitCode.NOT_RUNNING)
    return Addresses(
        web=remote("web", url, None),
        trainer=remote("trainer", trainer_url, given.get("SENTOPS_TRAINER_TOKEN")),
        backoffice=remote("backoffice", backoffice_url, given.get("SENTOPS_BACKOFFICE_API_TOKEN")),
        monitor=remote("monitor", given.get("SENTOPS_MONITOR_URL"), None),
    )


def runs_elsewhere(environment: Mapping[str, str] | None = None) -> bool:
    """Whether the environment names the programs, as in the compose file."""
    return bool((os.environ if environment is None else environment).get("SENTOPS_TRAINER_URL"))


def actor() -> str:
    """Who works at this terminal, for the audit log."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):  # an account without a name
        return "cli"


def not_running(root: Path) -> str:
    return (
        f"Sentops does not run in {root}. Start it with `sentops up` (or `make up`), name another "
        "folder with --home, or a running one with --url."
    )
