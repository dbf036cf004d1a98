"""`sentops status` and `sentops logs`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Never

import typer

from sentops_cli.addresses import not_running, runs_elsewhere
from sentops_cli.commands.options import DEFAULT_HOME, HomeOption, JsonOption, UrlOption, ask
from sentops_cli.first_run import list_jobs
from sentops_cli.home import Home, home_at
from sentops_cli.jobs import clock, made, progress_line
from sentops_cli.leftovers import describe, find_leftovers
from sentops_cli.outcome import CommandError, ExitCode
from sentops_cli.output import print_json, print_rows, say, terminal
from sentops_cli.program_logs import last_lines, readable
from sentops_cli.screen import addresses_line, jobs_table
from sentops_cli.services import Service, Services, parse
from sentops_cli.state import read_state
from sentops_core.domain.resources import Routing, TrainingJob


def status(
    *, home: HomeOption = DEFAULT_HOME, url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """Show what runs, which version answers and how good it is, and what is being trained."""
    place = home_at(home)
    state = read_state(place.state)
    if state is None or not state.running:
        if not runs_elsewhere():
            _tell_not_running(place, as_json=as_json)
        _tell_elsewhere(home, url, as_json=as_json)
        return
    facts, complaint = _facts(home)
    if as_json:
        print_json(state.model_dump(mode="json") | document(facts, complaint))
        return
    since = clock((datetime.now(UTC) - state.started_at).total_seconds())
    say(f"Running in {place.root} for {since} (supervisor pid {state.supervisor.pid})")
    print_rows(
        ("Program", "Port", "State", "Pid", "Restarts", "Message"),
        [
            (
                one.name,
                str(one.port),
                one.phase.value,
                str(one.process.pid) if one.process is not None else "",
                str(one.restarts),
                one.message,
            )
            for one in state.programs
        ],
    )
    say(addresses_line(state))
    _tell_facts(facts, complaint)
    if state.first_run:
        say(f"First run: {state.first_run}")


def logs(
    name: Annotated[
        str,
        typer.Argument(
            help="A program (web, backoffice, model, trainer, monitor, supervisor) or a job."
        ),
    ],
    *,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=100_000)] = 50,
    raw: Annotated[bool, typer.Option(help="The lines as they were written (JSON).")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Print the last log lines of a program or of a training job."""
    place = home_at(home)
    known = {path.stem: path for path in place.logs.glob("*.log")}
    if name in known:
        found = last_lines(known[name], lines)
    else:
        try:
            answer = ask(home, lambda services: services.trainer.get(f"/training-jobs/{name}/log"))
        except CommandError as error:
            programs = ", ".join(sorted(known)) or "none yet"
            raise CommandError(
                f"No program of that name has logs here ({programs}), and for a training job: {error}",
                error.code,
            ) from error
        text = answer if isinstance(answer, str) else str(answer.get("log", ""))
        found = text.splitlines()[-lines:]
    for line in found:
        say(line if raw else readable(line))


def document(facts: dict[str, Any], complaint: str) -> dict[str, Any]:
    """What `status --json` says of the model, wherever the programs run."""
    return {
        "champion": facts["champion"],
        "quality": facts["quality"],
        "training": [job.to_document() for job in facts["training"]],
        "complaint": complaint,
    }


def sentences(facts: dict[str, Any]) -> list[str]:
    """The champion, what it measured and what people say of it; unknown is said as unknown."""
    champion = facts["champion"]
    if champion is None:
        return ["No version answers yet"]
    measured = champion.get("evaluation")
    figures = (
        f": macro-F1 {measured['macroF1']:.3f}, accuracy {measured['accuracy']:.3f} "
        f"on {measured['rows']} held-out rows"
        if measured is not None
        else ""
    )
    return [f"{champion['version']} answers{figures}", *votes_in_words(facts["quality"])]


def votes_in_words(quality: list[dict[str, Any]] | None) -> list[str]:
    """The champion's agreement with people's votes in the last 7 days."""
    if quality is None:
        return ["What people say of it is not known just now: the monitor does not answer"]
    week = next((one for one in quality if one["window"] == "7d"), None)
    accuracy = week.get("accuracy") if week is not None else None
    if accuracy is None:
        return ["Nobody has voted on its answers in the last 7 days"]
    interval = f"95 % interval {accuracy['low']:.0%} to {accuracy['high']:.0%}"
    share, votes = accuracy["value"], accuracy["votes"]
    return [f"People's votes in the last 7 days: {share:.0%} right of {votes} ({interval})"]


def _facts(home: Path) -> tuple[dict[str, Any], str]:
    nothing: dict[str, Any] = {"champion": None, "quality": None, "training": []}
    try:
        return ask(home, _ask_facts), ""
    except CommandError as error:
        return nothing, str(error)


async def _ask_facts(services: Services) -> dict[str, Any]:
    jobs = await list_jobs(services)
    routing = parse(Routing, await services.trainer.get("/routing"))
    serving = next((one for one in routing.variants if one.name == "champion"), None)
    champion: dict[str, Any] | None = None
    if serving is not None:
        champion = {"version": serving.model_version, "digest": serving.digest}
        trained = next((job for job in jobs if made(job, serving.model_version)), None)
        if trained is not None and trained.status.evaluation is not None:
            champion["evaluation"] = trained.status.evaluation.to_document()
    return {
        "champion": champion,
        "quality": await _quality(services, champion["version"]) if champion is not None else None,
        "training": [job for job in jobs if not job.status.phase.final],
    }


async def _quality(services: Services, version: str) -> list[dict[str, Any]] | None:
    try:
        report = await services.monitor.get("/quality")
    except CommandError:
        return None
    return [one for one in report["versions"] if one["model_version"] == version]


def _tell_elsewhere(home: Path, url: str | None, *, as_json: bool) -> None:
    """Of programs that something else runs, such as docker compose; exit code 3 when one of them is away."""
    programs = ask(home, _ask_readiness, url=url)
    facts, complaint = _facts(home)
    if as_json:
        print_json({"programs": programs} | document(facts, complaint))
    else:
        rows = [(one["name"], one["url"], one["message"] or "ready") for one in programs]
        print_rows(("Program", "Address", "State"), rows)
        _tell_facts(facts, complaint)
    if any(one["message"] for one in programs):
        raise typer.Exit(ExitCode.NOT_RUNNING)


async def _ask_readiness(services: Services) -> list[dict[str, str]]:
    """Each program whose address is known; `message` says why it is not ready, and is empty when it is."""
    found = []
    for name in ("web", "backoffice", "trainer", "monitor"):
        service: Service = getattr(services, name)
        if not service.url:
            continue
        message = ""
        try:
            await service.get("/health/ready")
        except CommandError as error:
            message = str(error)
        found.append({"name": name, "url": service.url, "message": message})
    return found


def _tell_facts(facts: dict[str, Any], complaint: str) -> None:
    for line in [complaint] if complaint else sentences(facts):
        say(line)
    _tell_training(facts["training"])


def _tell_training(jobs: list[TrainingJob]) -> None:
    console = terminal()
    if jobs and console.is_terminal:
        console.print(jobs_table(jobs))
    else:
        for job in jobs:
            say(progress_line(job))


def _tell_not_running(home: Home, *, as_json: bool) -> Never:
    left = (
        [describe(process) for process in find_leftovers(home, runs=True)]
        if home.root.exists()
        else []
    )
    if as_json:
        print_json({"running": False, "leftovers": left})
        raise typer.Exit(ExitCode.NOT_RUNNING)
    more = f" Left over: {', '.join(left)}; `sentops down` ends them." if left else ""
    raise CommandError(not_running(home.root) + more, ExitCode.NOT_RUNNING)
