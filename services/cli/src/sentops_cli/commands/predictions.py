"""`sentops predict` and `sentops feedback`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from sentops_cli.commands.options import DEFAULT_HOME, HomeOption, JsonOption, UrlOption, ask
from sentops_cli.files import opened
from sentops_cli.outcome import CommandError, ExitCode
from sentops_cli.output import print_json, print_rows, say
from sentops_cli.services import Services

_AT_ONCE = 100  # texts per request
_LONGEST_SHOWN = 60


def predict(
    texts: Annotated[
        list[str] | None,
        typer.Argument(help="Texts, each in quotes; - reads one per line from standard input."),
    ] = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", "-f", help="CSV, TSV or lines of text; answered as CSV on standard output."
        ),
    ] = None,
    column: Annotated[
        str | None, typer.Option(help="Column that holds the text; found by itself when left out.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the model: the label of each text, how sure it is, and the id to correct it by."""
    if (file is None) == (not texts):
        raise CommandError(
            "Give texts, or - for standard input, or --file; not both.", ExitCode.BAD_INPUT
        )
    if file is not None:
        if as_json:
            raise CommandError("A file is answered as CSV; leave --json out.", ExitCode.BAD_INPUT)
        given = file
        table = ask(home, lambda services: answered_file(services, given, column), url=url)
        sys.stdout.write(table)
        return
    wanted = read_texts(texts or [])
    answers = ask(home, lambda services: answers_for(services, wanted), url=url)
    if as_json:
        print_json(answers)
        return
    print_rows(
        ("Label", "Score", "Text", "Prediction id"),
        [
            (
                str(one["label"]),
                f"{one['score']:.3f}" + (" (text was cut)" if one.get("truncated") else ""),
                shortened(text),
                str(one["prediction_id"]),
            )
            for text, one in zip(wanted, answers, strict=True)
        ],
    )


def feedback(
    prediction_id: Annotated[str, typer.Argument(help="As `sentops predict` or the API gave it.")],
    label: Annotated[str, typer.Argument(help="The right label: positive, neutral or negative.")],
    *,
    note: Annotated[str | None, typer.Option(help="Why, for whoever looks at it later.")] = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
) -> None:
    """Say what the right label is; it goes into the next dataset. Voting again replaces your vote."""
    body = {"prediction_id": prediction_id, "feedback": label}
    if note is not None:
        body["note"] = note
    ask(home, lambda services: services.web.post("/api/feedback", json=body), url=url)
    say(f"Thank you: {label} is noted for {prediction_id}.")


async def answers_for(services: Services, texts: Sequence[str]) -> list[dict[str, Any]]:
    """One answer per text, in order, however many there are."""
    answers: list[dict[str, Any]] = []
    for start in range(0, len(texts), _AT_ONCE):
        part = list(texts[start : start + _AT_ONCE])
        if len(part) == 1:
            answers.append(await services.web.post("/api/predict", json={"text": part[0]}))
        else:
            answer = await services.web.post("/api/predict/batch", json={"texts": part})
            answers += answer["predictions"]
    return answers


def read_texts(arguments: Sequence[str]) -> list[str]:
    """The arguments; a - among them stands for the lines of standard input."""
    texts: list[str] = []
    try:
        for argument in arguments:
            if argument == "-":
                texts += [line.rstrip("\n") for line in sys.stdin if line.strip()]
            else:
                argument.encode()  # the shell may hand over any bytes
                texts.append(argument)
    except UnicodeError as error:
        raise CommandError(
            "This text is not UTF-8. Convert it, or put it into a file and use --file, which reads "
            "what Windows programs write too.",
            ExitCode.BAD_INPUT,
        ) from error
    if not texts:
        raise CommandError("Standard input held no text.", ExitCode.BAD_INPUT)
    return texts


async def answered_file(services: Services, file: Path, column: str | None) -> str:
    """The table as CSV with the answers in columns of its own; web reads it, so the page does the same."""
    data = {"column": column} if column is not None else {}
    with opened(file) as content:
        answer = await services.web.post(
            "/api/predict/csv", files={"file": (file.name, content)}, data=data, timeout=600
        )
    return str(answer).removeprefix("\ufeff")  # meant for spreadsheets, in the way in a pipe


def shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_SHOWN else line[: _LONGEST_SHOWN - 1] + "…"
