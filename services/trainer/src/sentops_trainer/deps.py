"""What routes ask for: the open transaction, the resources in it, the loop to wake, who is asking."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header, Request

from sentops_core.store.pool import Connection as StoreConnection
from sentops_core.store.pool import transaction
from sentops_trainer.converge_loop import ConvergeLoop
from sentops_trainer.local.processes import Processes
from sentops_trainer.local.resources import Resources
from sentops_trainer.settings import Settings


async def _connection(request: Request) -> AsyncIterator[StoreConnection]:
    async with transaction(request.state.pool) as connection:
        yield connection


# The scope commits before the answer leaves: a failed commit must not read as success.
Connection = Annotated[StoreConnection, Depends(_connection, scope="function")]


async def _resources(connection: Connection) -> Resources:
    return Resources(connection)


async def _loop(request: Request) -> ConvergeLoop:
    loop: ConvergeLoop = request.state.loop
    return loop


async def _processes(request: Request) -> Processes:
    processes: Processes = request.state.processes
    return processes


async def _settings(request: Request) -> Settings:
    settings: Settings = request.state.settings
    return settings


async def _actor(
    x_sentops_actor: Annotated[
        str | None,
        Header(max_length=100, description="The person on whose behalf a trusted program asks."),
    ] = None,
) -> str:
    return x_sentops_actor or "api"


ResourcesDep = Annotated[Resources, Depends(_resources, scope="function")]
Loop = Annotated[ConvergeLoop, Depends(_loop)]
RunProcesses = Annotated[Processes, Depends(_processes)]
SettingsDep = Annotated[Settings, Depends(_settings)]
Actor = Annotated[str, Depends(_actor)]
