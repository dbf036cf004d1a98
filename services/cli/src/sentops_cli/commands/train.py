"""`sentops train`: start a training job, and watch one to its verdict."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from sentops_cli.commands.options import DEFAULT_HOME, HomeOption, JsonOption, ask
from sentops_cli.first_run import BASES
from sentops_cli.home import Home, home_at
from sentops_cli.jobs import exit_code_of, get_job, progress_line, verdict_lines, watch
from sentops_cli.outcome import ExitCode
from sentops_cli.output import print_json, say, terminal
from sentops_cli.screen import screen_for
from sentops_cli.services import Services
from sentops_cli.state import read_state
from sentops_core.domain.fast_path import FastPathMode
from sentops_core.domain.resources import Method, PromotionMode, TrainingJob


class MethodName(StrEnum):
    LINEAR = "linear"
    FINE_TUNE = "fine-tune"


class PromotionName(StrEnum):
    AUTO = "auto"
    MANUAL = "manual"
    NEVER = "never"


class FastPathName(StrEnum):
    OFF = "off"
    AUTO = "auto"
    FORCED = "forced"


_METHODS = {MethodName.LINEAR: Method.LINEAR, MethodName.FINE_TUNE: Method.FINE_TUNE}


def train(  # noqa: PLR0913 - the options of the command
    dataset: Annotated[
        str | None,
        typer.Argument(help="Dataset version, such as v2; the newest one when left out."),
    ] = None,
    *,
    method: Annotated[
        MethodName,
        typer.Option(help="linear takes about a minute; fine-tune takes longer and is better."),
    ] = MethodName.FINE_TUNE,
    base: Annotated[
        str | None,
        typer.Option(help="multilingual, english-small, or an address such as hf://org/name@rev."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the job; made up when left out.")
    ] = None,
    promotion: Annotated[
        PromotionName | None,
        typer.Option(help="Whether the version goes live by itself when it passes."),
    ] = None,
    fast_path: Annotated[
        FastPathName | None,
        typer.Option(
            help="A small student that answers easy texts: off, auto (where it costs no quality), forced."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, max=100)] = None,
    learning_rate: Annotated[
        str | None, typer.Option(help="Over 0, at most 0.01; such as 5e-5.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, max=1024)] = None,
    max_length: Annotated[int | None, typer.Option(min=8, max=512, help="Tokens per text.")] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    watching: Annotated[
        bool, typer.Option("--watch/--no-watch", "-w", help="Follow it to the gate's verdict.")
    ] = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Train a new version on a dataset. It goes live by itself if the gate finds it good enough."""
    hyperparameters = {
        "epochs": epochs,
        "learningRate": learning_rate,
        "batchSize": batch_size,
        "maxLength": max_length,
        "seed": seed,
    }
    request: dict[str, Any] = {
        "dataset_id": dataset,
        "method": _METHODS[method].value,
        "base": BASES.get(base, base) if base is not None else usual_base(home_at(home)),
        "name": name,
        "promotion": {"mode": PromotionMode[promotion.name].value}
        if promotion is not None
        else None,
        "fast_path": FastPathMode[fast_path.name].value if fast_path is not None else None,
        "hyperparameters": {
            key: value for key, value in hyperparameters.items() if value is not None
        },
    }
    job = ask(home, lambda services: _submit(services, request, watching=watching, quiet=as_json))
    if as_json:
        print_json(job.to_document())
    elif watching:
        for line in verdict_lines(job):
            say(line)
    else:
        say(progress_line(job))
        say(f"Follow it: sentops status, sentops logs {job.metadata.name}")
    if exit_code_of(job) is not ExitCode.OK:
        raise typer.Exit(exit_code_of(job))


def usual_base(home: Home) -> str | None:
    """The one that `sentops up --base` chose; the trainer's own choice for a platform elsewhere."""
    state = read_state(home.state)
    return BASES.get(state.base) if state is not None and state.running else None


async def _submit(
    services: Services, request: dict[str, Any], *, watching: bool, quiet: bool
) -> TrainingJob:
    body = {key: value for key, value in request.items() if value not in (None, {})}
    answer = await services.trainer.post("/train", json=body)
    if not watching:
        return await get_job(services.trainer, answer["name"])
    return await follow(services, answer["name"], quiet=quiet)


async def follow(services: Services, name: str, *, quiet: bool = False) -> TrainingJob:
    """The job once it is final; until then its progress on the terminal."""
    if quiet:
        return [job async for job in watch(services.trainer, name)][-1]
    last: TrainingJob | None = None
    with screen_for(terminal()) as screen:
        async for job in watch(services.trainer, name):
            screen.training([job])
            last = job
    assert last is not None, "watch yields at least once"  # noqa: S101
    return last
