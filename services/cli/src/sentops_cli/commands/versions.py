"""`sentops versions`, `promote`, `approve`, `archive` and `rollback`."""

from pathlib import Path
from typing import Annotated

import typer

from sentops_cli.commands.options import DEFAULT_HOME, HomeOption, JsonOption, ask
from sentops_cli.jobs import fast_path_line, gate_lines, get_job, made, short
from sentops_cli.outcome import CommandError, ExitCode
from sentops_cli.output import print_json, print_rows, say
from sentops_cli.services import Services, parse
from sentops_core.domain.fast_path import FastPathReport
from sentops_core.domain.resources import ModelVersion, Routing

VersionArgument = Annotated[
    str, typer.Argument(metavar="VERSION", help="As `sentops versions` lists it.")
]

ReasonOption = Annotated[str, typer.Option(help="Why; it goes into the audit log.")]


def versions(
    name: Annotated[str | None, typer.Argument(help="Show one version with its verdict.")] = None,
    *,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """List the model versions: which one answers, what each measured, how the gate judged it."""
    if name is not None:
        if as_json:
            print_json(ask(home, lambda services: get_version(services, name)).to_document())
        else:
            for line in ask(home, lambda services: _described(services, name)):
                say(line)
        return
    found = ask(home, list_versions)
    if as_json:
        print_json([version.to_document() for version in found])
    else:
        print_rows(
            ("Version", "State", "Traffic", "Macro F1", "Gate", "Training job", "Message"),
            [version_row(version) for version in found],
        )


def promote(
    version: VersionArgument,
    *,
    reason: ReasonOption = "",
    force: Annotated[
        bool, typer.Option(help="Against the gate's verdict; needs --reason.")
    ] = False,
    clear_quarantine: Annotated[
        bool, typer.Option(help="Try a quarantined artefact again; needs --reason.")
    ] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Make this version the one that answers. It is verified first; until then the old one answers."""
    body = {"reason": reason, "force": force, "clear_quarantine": clear_quarantine}
    act(home, version, "promote", body)
    say(f"{version} is being promoted; see: sentops versions {version}")


def approve(
    version: VersionArgument, *, reason: ReasonOption = "", home: HomeOption = DEFAULT_HOME
) -> None:
    """Give your word for a version that waits for it."""
    act(home, version, "approve", {"reason": reason})
    say(f"{version} is approved; see: sentops versions {version}")


def archive(
    version: VersionArgument, *, reason: ReasonOption = "", home: HomeOption = DEFAULT_HOME
) -> None:
    """Take a version that does not serve out of the running: a canary is taken back."""
    act(home, version, "archive", {"reason": reason})
    say(f"{version} is being archived; see: sentops versions {version}")


def rollback(
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    reason: ReasonOption = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Return to the previous champion at once. The version that answers now does not come back by itself."""
    champion = ask(home, champion_name)
    if champion is None:
        raise CommandError(
            "No version answers yet, so there is nothing to return from.", ExitCode.REFUSED
        )
    if not yes:
        typer.confirm(f"Take {champion} off and return to the version before it?", abort=True)
    before = act(home, champion, "rollback", {"reason": reason})
    say(f"{champion} is taken off; {before.metadata.name} answers in a moment.")


def act(home: Path, version: str, action: str, body: dict[str, object]) -> ModelVersion:
    """Ask the trainer for a change of this version; the version it answers with."""
    answer = ask(
        home,
        lambda services: services.trainer.post(f"/model-versions/{version}/{action}", json=body),
    )
    return parse_version(answer)


async def list_versions(services: Services) -> list[ModelVersion]:
    return [parse_version(one) for one in await services.trainer.get("/model-versions")]


async def get_version(services: Services, name: str) -> ModelVersion:
    return parse_version(await services.trainer.get(f"/model-versions/{name}"))


async def _described(services: Services, name: str) -> list[str]:
    version = await get_version(services, name)
    if version.spec.training_job_ref is None:
        return description(version)
    try:
        job = await get_job(services.trainer, version.spec.training_job_ref.name)
    except CommandError:  # removed, or made elsewhere: the version says enough
        return description(version)
    return description(version, job.status.fast_path if made(job, name) else None)


def parse_version(document: object) -> ModelVersion:
    return parse(ModelVersion, document)


async def champion_name(services: Services) -> str | None:
    routing = parse(Routing, await services.trainer.get("/routing"))
    return next((one.model_version for one in routing.variants if one.name == "champion"), None)


def version_row(version: ModelVersion) -> tuple[str, ...]:
    gate = version.spec.gate_result
    figures = (
        {metric.name: short(metric.value) for metric in gate.metrics} if gate is not None else {}
    )
    conditions = version.status.conditions
    newest = max(conditions, key=lambda one: one.last_transition_time, default=None)
    return (
        version.metadata.name,
        version.status.phase.value,
        f"{version.status.traffic_percent} %",
        figures.get("macro_f1", ""),
        gate.verdict.value if gate is not None else "",
        version.spec.training_job_ref.name if version.spec.training_job_ref is not None else "",
        newest.message if newest is not None else "",
    )


def description(version: ModelVersion, fast_path: FastPathReport | None = None) -> list[str]:
    lines = [
        f"{version.metadata.name}: {version.status.phase.value}, {version.status.traffic_percent} % of traffic",
        f"Artefact {version.spec.artifact.digest} ({version.spec.artifact.size_bytes:,} bytes)",
        f"Dataset {version.spec.dataset_hash}",
    ]
    if version.spec.training_job_ref is not None:
        lines.append(f"Training job {version.spec.training_job_ref.name}")
    if version.spec.gate_result is not None:
        lines += gate_lines(version.spec.gate_result)
    if fast_path is not None:
        lines.append(fast_path_line(fast_path))
    lines += [
        f"{one.type} {one.status.value} ({one.reason.value}): {one.message}"
        for one in version.status.conditions
    ]
    return lines
