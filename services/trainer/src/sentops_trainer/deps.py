"""What routes ask for: the control plane, opened for the request; who is asking."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header, Request

from sentops_trainer.control_plane import ControlPlane, OpenControlPlane
from sentops_trainer.settings import Settings


async def _control_plane(request: Request) -> AsyncIterator[ControlPlane]:
    opened: OpenControlPlane = request.state.control_plane
    async with opened() as plane:
        yield plane


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


# The scope commits before the answer leaves: a failed commit must not read as success.
Control = Annotated[ControlPlane, Depends(_control_plane, scope="function")]
SettingsDep = Annotated[Settings, Depends(_settings)]
Actor = Annotated[str, Depends(_actor)]
