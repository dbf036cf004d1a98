"""Results on standard output: tables on a terminal, tab-separated lines in a pipe, JSON when asked for."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def terminal() -> Console:
    """The console of standard output, as it is now."""
    return Console()


def say(line: str) -> None:
    """One line as it is."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def say_error(message: str) -> None:
    Console(stderr=True).print(Text.assemble(("Error: ", "bold red"), message), soft_wrap=True)


def print_json(value: Any) -> None:
    say(json.dumps(value, indent=2, ensure_ascii=False))


def print_rows(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal; in a pipe a header and rows with tabs between the fields."""
    console = terminal()
    if console.is_terminal:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for heading in headings:
            table.add_column(heading)
        for row in rows:
            table.add_row(*(Text(field) for field in row))
        console.print(table)
        return
    say("\t".join(heading.lower().replace(" ", "_") for heading in headings))
    for row in rows:
        say("\t".join(" ".join(field.split()) for field in row))
