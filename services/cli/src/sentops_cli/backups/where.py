"""Which platform is meant: the one that options or environment name, or the one of a state folder."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sentops_cli.addresses import not_running
from sentops_cli.backups.create import Source
from sentops_cli.database import embedded
from sentops_cli.home import Home
from sentops_cli.lock import only_supervisor
from sentops_cli.outcome import CommandError, ExitCode
from sentops_cli.programs import LOCALHOST
from sentops_cli.secrets_file import load, load_or_generate
from sentops_cli.state import read_state
from sentops_core.artifacts.places import place_at
from sentops_core.domain.errors import InvalidInput
from sentops_core.store.pool import describe


@contextmanager
def named_or_running(
    home: Home, database_url: str | None, store_uri: str | None, grafana: Path | None
) -> Iterator[Source]:
    """What to back up. Without addresses: the home's platform, which need not run."""
    if database_url or store_uri:
        yield _named(database_url, store_uri, grafana)
        return
    state, secrets = read_state(home.state), load(home.secrets)
    if secrets is None or not home.store.is_dir():
        raise CommandError(
            f"{not_running(home.root)} Or name a database and a store: SENTOPS_DATABASE_URL, SENTOPS_STORE_URI.",
            ExitCode.NOT_RUNNING,
        )
    external = os.environ.get("DATABASE_URL")
    if external:
        yield Source(external, home.store.as_uri(), grafana)
        return
    port = state.port_of("postgres") if state is not None and state.running else None
    if port is not None:
        yield Source(embedded(home, port, secrets).url, home.store.as_uri(), grafana)
        return
    with only_supervisor(home), _own_server(home) as url:
        yield Source(url, home.store.as_uri(), grafana)


@contextmanager
def named_or_stopped(
    home: Home, database_url: str | None, store_uri: str | None, grafana: Path | None
) -> Iterator[Source]:
    """What to restore into. Without addresses: the home's platform, which must not run."""
    if database_url or store_uri:
        yield _named(database_url, store_uri, grafana)
        return
    home.create()
    with only_supervisor(home):
        external = os.environ.get("DATABASE_URL")
        if external:
            yield Source(external, home.store.as_uri(), grafana)
            return
        with _own_server(home) as url:
            yield Source(url, home.store.as_uri(), grafana)


@contextmanager
def _own_server(home: Home) -> Iterator[str]:
    """The home's database, started for us alone."""
    with socket.socket() as probe:  # not the usual one: a platform of another folder may have it
        probe.bind((LOCALHOST, 0))
        port: int = probe.getsockname()[1]
    server = embedded(home, port, load_or_generate(home.secrets))
    server.start()
    try:
        asyncio.run(server.create_database())
        yield server.url
    finally:
        server.stop()


def _named(database_url: str | None, store_uri: str | None, grafana: Path | None) -> Source:
    if not database_url or not store_uri:
        missing = "SENTOPS_STORE_URI" if database_url else "SENTOPS_DATABASE_URL"
        raise CommandError(
            f"A platform is named by its database and its store: set {missing} too.",
            ExitCode.BAD_INPUT,
        )
    try:
        place_at(store_uri)
        describe(database_url)
    except InvalidInput as error:
        raise CommandError(f"{error}.", ExitCode.BAD_INPUT) from error
    except ValueError as error:
        raise CommandError(
            "The database URL cannot be read: write postgresql://user:password@host:port/name, special "
            "characters of the password as %XX.",
            ExitCode.BAD_INPUT,
        ) from error
    return Source(database_url, store_uri.rstrip("/"), grafana)
