"""`sentops datasets`: list, show, upload, build."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from sentops_cli.commands.options import DEFAULT_HOME, HomeOption, JsonOption, ask
from sentops_cli.files import opened
from sentops_cli.outcome import CommandError, ExitCode
from sentops_cli.output import print_json, print_rows, say
from sentops_cli.services import Services

_PATH = "/backoffice/api/datasets"
_SHOWN_REFUSALS = 10
_PAGE = 1000  # rows per request

app = typer.Typer(help="Datasets: versions, upload of files, building from people's corrections.")


@app.callback(invoke_without_command=True)
def datasets(
    context: typer.Context, *, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False
) -> None:
    """List the dataset versions, the newest first."""
    if context.invoked_subcommand is not None:
        return
    found = ask(home, list_versions)
    if as_json:
        print_json(found)
        return
    print_rows(
        ("Version", "Dataset", "Train", "Held out", "Labels", "Parent", "Made by", "Created"),
        [
            (
                str(one["version"]),
                str(one["name"]),
                str(one["rows_train"]),
                str(one["rows_holdout"]),
                counts(one["label_counts"]),
                str(one.get("parent") or ""),
                str(one["created_by"]),
                str(one["created_at"])[:16].replace("T", " "),
            )
            for one in found
        ],
    )


@app.command()
def show(
    version: Annotated[str, typer.Argument(help="Such as v1.")],
    *,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show one version: where it comes from, its labels, and what was left out and why."""
    found = ask(home, lambda services: services.backoffice.get(f"{_PATH}/{version}"))
    if as_json:
        print_json(found)
        return
    for line in description(found):
        say(line)


@app.command()
def rows(
    version: Annotated[str, typer.Argument(help="Such as v1.")],
    *,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many to print.")] = 20,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Print the rows of a version: text, label, side of the split, source and who labelled it."""
    found = ask(home, lambda services: some_rows(services, version, count))
    if as_json:
        print_json(found)
        return
    headings = ("label", "split", "source", "annotator", "text")
    print_rows(
        [heading.capitalize() for heading in headings],
        [[str(one[heading] or "") for heading in headings] for one in found],
    )


@app.command()
def upload(  # noqa: PLR0913 - the options of the command
    file: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL, Parquet or XLSX.")],
    *,
    name: Annotated[
        str | None, typer.Option(help="Name of the dataset; from the file when left out.")
    ] = None,
    text_column: Annotated[str | None, typer.Option(help="Found by itself when left out.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Labels, or stars from 1 to 5.")] = None,
    group_column: Annotated[
        str | None, typer.Option(help="Rows of one group stay on one side of the split.")
    ] = None,
    label_map: Annotated[
        list[str] | None,
        typer.Option("--label", help="A label of the file and ours, such as buono=positive."),
    ] = None,
    parent: Annotated[str | None, typer.Option(help="Version to add the rows to.")] = None,
    describe: Annotated[str | None, typer.Option("--description", help="What it is.")] = None,
    origin: Annotated[
        str | None, typer.Option(help="Where it comes from and how it was labelled.")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="What its texts may be used for.")] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Make a dataset version from a file; says what was kept and why each other row was not."""
    fields = {
        "name": name,
        "text_column": text_column,
        "label_column": label_column,
        "group_column": group_column,
        "label_map": json.dumps(mapping(label_map)) if label_map else None,
        "parent": parent,
        "description": describe,
        "origin": origin,
        "licence": licence,
    }
    data = {key: value for key, value in fields.items() if value is not None}
    with opened(file) as content:
        made = ask(
            home,
            lambda services: services.backoffice.post(
                _PATH, files={"file": (file.name, content)}, data=data, timeout=600
            ),
        )
    tell_made(made, as_json=as_json)


@app.command()
def build(
    *,
    parent: Annotated[
        str | None,
        typer.Option(help="Version to add the corrections to; the newest when left out."),
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Make a new version from an older one and people's corrections and confirmations since."""
    body = {"parent": parent} if parent is not None else {}
    made = ask(
        home,
        lambda services: services.backoffice.post(f"{_PATH}/from-feedback", json=body, timeout=600),
    )
    tell_made(made, as_json=as_json)


async def list_versions(services: Services) -> list[dict[str, Any]]:
    answer = await services.backoffice.get(_PATH)
    versions: list[dict[str, Any]] = answer["datasets"]
    return versions


async def some_rows(services: Services, version: str, count: int) -> list[dict[str, Any]]:
    """The first rows by content hash, page by page."""
    found: list[dict[str, Any]] = []
    after = ""
    while len(found) < count:
        limit = min(count - len(found), _PAGE)
        page = await services.backoffice.get(
            f"{_PATH}/{version}/rows", params={"after": after, "limit": limit}
        )
        found += page["rows"]
        if page["next"] is None:
            break
        after = page["next"]
    return found


def mapping(pairs: list[str]) -> dict[str, str]:
    """`buono=positive` as a map."""
    made = {}
    for pair in pairs:
        theirs, equals, ours = pair.rpartition("=")
        if not equals or not theirs or not ours:
            raise CommandError(
                f"{pair!r} is no mapping: write the file's label, =, ours: buono=positive.",
                ExitCode.BAD_INPUT,
            )
        made[theirs] = ours
    return made


def tell_made(made: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    for line in report_lines(made.get("report") or {}):
        say(line)
    if not made["created"]:
        say(f"Exactly these rows are version {made['version']} already; nothing was made.")
        return
    say(
        f"Dataset version {made['version']} is ready. Train on it: sentops train {made['version']} --watch"
    )


def description(version: dict[str, Any]) -> list[str]:
    train, holdout = version["rows_train"], version["rows_holdout"]
    told = ("parent", "description", "origin", "licence")
    return [
        f"{version['version']} of {version['name']}: {train} rows to train on, {holdout} held out",
        f"Labels: {counts(version['label_counts'])}",
        f"Content {version['content_hash']}",
        *(f"{key.capitalize()}: {version[key]}" for key in told if version.get(key)),
        *report_lines(version.get("report") or {}),
    ]


def report_lines(report: dict[str, Any]) -> list[str]:
    """What was kept, and the first of the rows that were not, each with its reason."""
    lines = []
    file = report.get("file")
    if file is not None:
        lines.append(f"{file['kept']} of {file['rows']} rows kept from the file ({file['format']})")
    changed = {
        "from its parent": report.get("rows_from_parent", 0),
        "added": report.get("added", 0),
        "relabelled": report.get("relabelled", 0),
        "as they were": report.get("unchanged", 0),
    }
    told = [f"{count} {words}" for words, count in changed.items() if count]
    if told:
        lines.append(f"Rows: {', '.join(told)}")
    refused = file["refused"] if file is not None else {}
    return [*lines, *refusal_lines(refused), *refusal_lines(report.get("left_out") or {})]


def refusal_lines(refused: dict[str, Any]) -> list[str]:
    if not refused.get("count"):
        return []
    reasons = sorted(refused["by_reason"].items(), key=lambda pair: -pair[1])
    words = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in reasons)
    first = refused["first"][:_SHOWN_REFUSALS]
    return [
        f"Left out: {words}",
        *(
            f"  row {one['row']}: {one['message']}" if one["row"] else f"  {one['message']}"
            for one in first
        ),
        *(["  ..."] if refused["count"] > len(first) else []),
    ]


def counts(label_counts: dict[str, int]) -> str:
    return ", ".join(f"{label} {count}" for label, count in sorted(label_counts.items()))
