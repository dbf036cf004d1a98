"""`sentops policy`: when a model is trained again by itself."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from sentops_cli.commands.options import DEFAULT_HOME, HomeOption, JsonOption, ask
from sentops_cli.files import opened
from sentops_cli.outcome import CommandError, ExitCode
from sentops_cli.output import print_json, print_rows, say
from sentops_cli.services import Services, parse
from sentops_core.domain.resources import RetrainPolicy

_PATH = "/retrain-policies"

app = typer.Typer(
    help="Retraining policies: what triggers a training, what holds it back, what was decided."
)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="As `sentops policy list` has it.")
]


@app.callback(invoke_without_command=True)
def policy(
    context: typer.Context, *, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False
) -> None:
    """List the policies with what was decided last."""
    if context.invoked_subcommand is None:
        list_policies(home=home, as_json=as_json)


@app.command("list")
def list_policies(*, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List the policies with what was decided last."""
    found = ask(home, _all)
    if as_json:
        print_json([one.to_document() for one in found])
        return
    print_rows(
        ("Policy", "Model", "Outcome", "Trigger", "Last training", "Today", "Reason"),
        [row_of(one) for one in found],
    )


@app.command()
def show(
    name: NameArgument, *, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False
) -> None:
    """Show one policy: its triggers and guards, the last decision and the figures it stands on."""
    found = ask(home, lambda services: _one(services, name))
    if as_json:
        print_json(found.to_document())
        return
    for line in description(found):
        say(line)


@app.command()
def apply(
    file: Annotated[
        Path,
        typer.Option(
            "-f",
            "--file",
            help="RetrainPolicy documents in YAML or JSON, as for kubectl; - is standard input.",
        ),
    ],
    *,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Make or change policies. What a file does not say takes its default, whatever was set before."""
    documents = documents_of(file)
    ask(home, lambda services: _apply(services, documents))


@app.command()
def delete(
    name: NameArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Delete a policy. A training that it started goes on."""
    if not yes:
        typer.confirm(f"Delete the retraining policy {name}?", abort=True)
    ask(home, lambda services: services.trainer.call("DELETE", f"{_PATH}/{name}"))
    say(f"{name} is deleted.")


def documents_of(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """(name, document) of each; a status that came along is left out."""
    if str(file) == "-":
        text = sys.stdin.read()
    else:
        with opened(file) as source:
            text = source.read().decode("utf-8", errors="replace")
    try:
        documents = [one for one in yaml.safe_load_all(text) if one is not None]
    except yaml.YAMLError as error:
        raise CommandError(
            f"{file} is neither YAML nor JSON: {error}", ExitCode.BAD_INPUT
        ) from error
    if not documents:
        raise CommandError(f"There is no document in {file}.", ExitCode.BAD_INPUT)
    return [_named(one, file) for one in documents]


def _named(document: object, file: Path) -> tuple[str, dict[str, Any]]:
    if not isinstance(document, dict) or document.get("kind") != "RetrainPolicy":
        raise CommandError(
            f"{file} holds something else than RetrainPolicies: each document says kind: RetrainPolicy.",
            ExitCode.BAD_INPUT,
        )
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not name or "/" in name:
        raise CommandError(
            f"A policy in {file} has no name: set metadata.name.", ExitCode.BAD_INPUT
        )
    kept = {key: value for key, value in document.items() if key not in {"status", "metadata"}}
    return name, kept | {"metadata": {"name": name}}


async def _apply(services: Services, documents: list[tuple[str, dict[str, Any]]]) -> None:
    there = {one.metadata.name: one.metadata.generation for one in await _all(services)}
    for name, document in documents:
        answer = await services.trainer.call("PUT", f"{_PATH}/{name}", json=document)
        generation = parse(RetrainPolicy, answer).metadata.generation
        if name not in there:
            say(f"{name} is made.")
        else:
            say(f"{name} is {'unchanged' if generation == there[name] else 'changed'}.")


async def _all(services: Services) -> list[RetrainPolicy]:
    return [parse(RetrainPolicy, one) for one in await services.trainer.get(_PATH)]


async def _one(services: Services, name: str) -> RetrainPolicy:
    return parse(RetrainPolicy, await services.trainer.get(f"{_PATH}/{name}"))


def row_of(policy: RetrainPolicy) -> tuple[str, ...]:
    status, decision = policy.status, policy.status.last_decision
    last = status.last_training_time
    return (
        policy.metadata.name,
        policy.spec.model_name,
        decision.outcome.value if decision else "",
        decision.trigger.value if decision and decision.trigger else "",
        f"{last:%Y-%m-%d %H:%M}" if last else "",
        str(status.trainings_today),
        decision.reason if decision else "",
    )


def description(policy: RetrainPolicy) -> list[str]:
    spec, status = policy.spec, policy.status
    marks = [
        word for word, is_so in (("suspended", spec.suspend), ("dry run", spec.dry_run)) if is_so
    ]
    lines = [
        f"{policy.metadata.name}: model {spec.model_name}{''.join(f', {one}' for one in marks)}"
    ]
    for title, part in (("Trigger", spec.triggers), ("Guard", spec.guards)):
        for name, value in part.to_document().items():
            lines.append(f"{title} {name}: {_words(value)}")
    decision = status.last_decision
    if decision is not None:
        wanted = f" ({decision.trigger.value})" if decision.trigger else ""
        lines.append(f"Decided {decision.at:%Y-%m-%d %H:%M} UTC: {decision.outcome.value}{wanted}")
        lines.append(decision.reason)
        lines += [f"  {one.name} {one.value}" for one in decision.inputs]
    if status.last_training_job is not None:
        lines.append(
            f"Last training {status.last_training_job}, {status.trainings_today} in 24 hours"
        )
    if status.last_failure is not None:
        lines.append(f"Could not be carried out: {status.last_failure.message}")
    lines += [
        f"{one.type} {one.status.value} ({one.reason.value}): {one.message}"
        for one in status.conditions
    ]
    return lines


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    return str(value)
