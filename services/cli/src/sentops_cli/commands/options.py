"""Options that several commands share, and how they reach the programs."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from sentops_cli.addresses import find_addresses
from sentops_cli.home import home_at
from sentops_cli.services import Services, open_services

DEFAULT_HOME = Path(".sentops")

HomeOption = Annotated[
    Path,
    typer.Option(
        "--home", envvar="SENTOPS_HOME", help="State folder of the platform.", show_default=True
    ),
]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", envvar="SENTOPS_URL", help="Address of a web service elsewhere."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

Result = TypeVar("Result")


def ask(
    home: Path, work: Callable[[Services], Awaitable[Result]], *, url: str | None = None
) -> Result:
    """Run `work` with clients for this home's programs, or for those that options and environment name."""
    addresses = find_addresses(home_at(home), url)

    async def connected() -> Result:
        async with open_services(addresses) as services:
            return await work(services)

    return asyncio.run(connected())
