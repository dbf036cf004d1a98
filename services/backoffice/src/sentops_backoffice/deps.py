"""What routes ask for, by name."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from sentops_backoffice.accounts import Passwords
from sentops_backoffice.artefacts import Artefacts
from sentops_backoffice.limiter import LoginLimiter
from sentops_backoffice.pages import Pages
from sentops_backoffice.profiles import Profiles
from sentops_backoffice.settings import Settings
from sentops_backoffice.state_of_affairs import PastDays
from sentops_backoffice.trainer import Trainer
from sentops_core.language import DetectLanguage
from sentops_core.store.pool import Connection as StoreConnection
from sentops_core.store.pool import Pool, transaction


@dataclass(frozen=True)
class Parts:
    """Everything that lives as long as the program. One dataset is built at a time, and one upload read: it takes a core."""

    settings: Settings
    pool: Pool
    trainer: Trainer
    pages: Pages
    passwords: Passwords
    logins: LoginLimiter
    detect_language: DetectLanguage
    artefacts: Artefacts = field(default_factory=Artefacts)
    past_days: PastDays = field(default_factory=PastDays)
    building: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    reading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    profiles: Profiles = field(default_factory=Profiles)


async def parts_of(request: Request) -> Parts:
    parts: Parts = request.state.parts
    return parts


PartsDep = Annotated[Parts, Depends(parts_of)]


async def _connection(parts: PartsDep) -> AsyncIterator[StoreConnection]:
    async with transaction(parts.pool) as connection:
        yield connection


# The scope commits before the answer leaves: a failed commit must not read as success.
Connection = Annotated[StoreConnection, Depends(_connection, scope="function")]
