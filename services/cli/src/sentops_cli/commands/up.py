"""`sentops up` and `sentops down`."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from logging.handlers import RotatingFileHandler
from typing import Annotated

import typer
from rich.console import Console

from sentops_cli.commands.options import DEFAULT_HOME, HomeOption
from sentops_cli.home import Home, home_at
from sentops_cli.outcome import CommandError, ExitCode
from sentops_cli.output import say
from sentops_cli.platform_life import UpOptions, run_platform
from sentops_cli.ports import Ports
from sentops_cli.screen import screen_for
from sentops_cli.state import read_state
from sentops_cli.stopping import stop_platform
from sentops_core.telemetry import configure_logging

_LOG_BYTES = 5_000_000
_DOWN_PATIENCE = timedelta(minutes=4)


class Base(StrEnum):
    MULTILINGUAL = "multilingual"
    ENGLISH_SMALL = "english-small"


def _port(name: str) -> object:
    return typer.Option(
        f"--{name}-port", min=1, max=65535, help=f"Port of {name}.", rich_help_panel="Ports"
    )


def up(  # noqa: PLR0913 - the options of the command
    *,
    home: HomeOption = DEFAULT_HOME,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach", "-d", help="Return when the page answers; go on in the background."
        ),
    ] = False,
    base: Annotated[
        Base,
        typer.Option(
            help="Base model of the first training: multilingual, or the faster English one."
        ),
    ] = Base.MULTILINGUAL,
    sample: Annotated[
        bool, typer.Option("--sample/--no-sample", help="Fetch sample reviews on the first run.")
    ] = True,
    port_offset: Annotated[
        int, typer.Option(help="Move every port by this much.", rich_help_panel="Ports")
    ] = 0,
    web_port: Annotated[int | None, _port("web")] = None,
    backoffice_port: Annotated[int | None, _port("backoffice")] = None,
    model_port: Annotated[int | None, _port("model")] = None,
    trainer_port: Annotated[int | None, _port("trainer")] = None,
    monitor_port: Annotated[int | None, _port("monitor")] = None,
    postgres_port: Annotated[int | None, _port("postgres")] = None,
    in_background: Annotated[bool, typer.Option("--in-background", hidden=True)] = False,
) -> None:
    """Start the platform: database, model, trainer, web, back office and monitor.

    A first start fetches sample reviews, trains a first version in about a minute and then a better one.
    DATABASE_URL names a PostgreSQL of yours; without it an own one is started.
    """
    place = home_at(home)
    ports = Ports().changed(
        offset=port_offset,
        web=web_port,
        backoffice=backoffice_port,
        model=model_port,
        trainer=trainer_port,
        monitor=monitor_port,
        postgres=postgres_port,
    )
    if detach:
        start_in_background(place, sys.argv[1:])
        return
    options = UpOptions(
        ports=ports,
        base=base.value,
        with_sample=sample,
        external_database=os.environ.get("DATABASE_URL") or None,
    )
    place.create()
    configure_logging(
        "supervisor",
        to=RotatingFileHandler(place.log_of("supervisor"), maxBytes=_LOG_BYTES, backupCount=1),
    )
    when_up: Callable[[], None] = (
        (lambda: _leave_terminal(place)) if in_background else lambda: None
    )
    with screen_for(Console()) as screen:
        asyncio.run(run_platform(place, options, screen, when_up))


def start_in_background(home: Home, arguments: list[str]) -> None:
    """Start ourselves in a session of its own; pass on what it says until the page answers or it ends."""
    passed_on = [part for part in arguments if part not in {"--detach", "-d"}]
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "sentops_cli", *passed_on, "--in-background"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert supervisor.stdout is not None and supervisor.stderr is not None  # noqa: S101, PT018
    try:
        for line in supervisor.stdout:
            say(line.rstrip("\n"))
    except KeyboardInterrupt:
        supervisor.terminate()
        supervisor.wait()
        raise
    state = read_state(home.state)
    if state is not None and state.supervisor.pid == supervisor.pid and "page" in state.milestones:
        say(f"Goes on in the background (pid {supervisor.pid}): sentops status, sentops down")
        return
    message = supervisor.stderr.read().strip().removeprefix("Error: ")
    code = supervisor.wait()
    known = ExitCode(code) if code in set(ExitCode) else ExitCode.FAILED
    raise CommandError(message or f"The supervisor ended; see {home.log_of('supervisor')}.", known)


def _leave_terminal(home: Home) -> None:
    """From now on to a file: whoever started us has seen the platform up, and gets an end of file."""
    sys.stdout.flush()
    descriptor = os.open(home.log_of("up"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, sys.stdout.fileno())
    os.dup2(descriptor, sys.stderr.fileno())
    os.close(descriptor)


def down(home: HomeOption = DEFAULT_HOME) -> None:
    """Stop everything that `sentops up` started, training runs and database included. Nothing is lost."""
    place = home_at(home)
    stopped = stop_platform(place, _DOWN_PATIENCE, say)
    say(f"Stopped {', '.join(stopped)}" if stopped else f"Nothing was running in {place.root}")
