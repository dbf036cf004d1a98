"""`sentops first-run`: what a first `sentops up` does by itself, for a platform that something else started."""

import asyncio
import contextlib
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from sentops_cli import first_run as steps
from sentops_cli.commands.options import DEFAULT_HOME, HomeOption, UrlOption, ask
from sentops_cli.commands.up import Base
from sentops_cli.outcome import CommandError, ExitCode
from sentops_cli.output import terminal
from sentops_cli.screen import Screen, screen_for
from sentops_cli.services import Services
from sentops_cli.training_show import TrainingShow

_AGAIN = "sentops first-run"


def first_run(
    *,
    base: Annotated[
        Base, typer.Option(help="Base model: multilingual, or the faster English one.")
    ] = Base.MULTILINGUAL,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
) -> None:
    """Fetch sample reviews, train a first version in about a minute, then a better one.

    What is done is not done again, and nothing at all where people have data or trainings of their own.
    """
    with screen_for(terminal()) as screen:
        done = ask(home, lambda services: _run(services, base, screen), url=url)
    if not done:
        raise typer.Exit(ExitCode.FAILED)


async def _run(services: Services, base: Base, screen: Screen) -> bool:
    said: list[str] = []
    started = time.monotonic()

    def say(line: str) -> None:
        said.append(line)
        screen.say(line)

    listener = steps.Listener(say, lambda _: time.monotonic() - started, again=_AGAIN)
    show = TrainingShow(services, screen)
    showing = asyncio.create_task(show.go_on(), name="show-training")
    try:
        # Only the temporary folder can be written to where the command is a container.
        with tempfile.TemporaryDirectory(prefix="sentops-sample-") as folder:
            done = await steps.first_run(
                services, Path(folder), listener, base=base.value, with_sample=True
            )
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
    with contextlib.suppress(CommandError):
        await show.look()  # the verdict of the last one
    if done:
        screen.say(_ending(anything=bool(said)))
    return done


def _ending(*, anything: bool) -> str:
    if anything:
        return "The first run is done. Ask it: sentops predict TEXT"
    return "Nothing is left to do for a first run: see `sentops status` and `sentops versions`."
