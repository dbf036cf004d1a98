"""LISTEN/NOTIFY: a hint that something moved, so that a loop need not wait for its next turn.

A hint may be lost (a restart of the database), so a listener also looks by itself now and then.
"""

import asyncio
from contextlib import suppress
from datetime import timedelta

import asyncpg

from sentops_core.domain.errors import Unavailable
from sentops_core.store.pool import Connection, open_connection

TRAINING_JOBS_CHANGED = "training_jobs_changed"
MODEL_VERSIONS_CHANGED = "model_versions_changed"
ROUTING_CHANGED = "routing_changed"

_NOTIFY = "SELECT pg_notify($1, $2)"


async def notify(connection: Connection, channel: str, payload: str) -> None:
    """Tell the listeners when the caller's transaction commits."""
    await connection.execute(_NOTIFY, channel, payload)


class Changes:
    """Waits for hints on some channels, over a connection of its own that is opened again when lost."""

    def __init__(self, url: str, channels: tuple[str, ...]) -> None:
        self._url = url
        self._channels = channels
        self._moved = asyncio.Event()
        self._connection: Connection | None = None

    async def wait(self, timeout: timedelta) -> bool:  # noqa: ASYNC109 - no answer in time is an answer
        """True when something moved, or may have while nobody listened; False when the time is up."""
        if self._connection is None or self._connection.is_closed():
            await self._listen()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._moved.wait(), timeout.total_seconds())
        moved = self._moved.is_set()
        self._moved.clear()
        return moved

    async def close(self) -> None:
        if self._connection is not None:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await self._connection.close()

    async def _listen(self) -> None:
        try:
            connection = await open_connection(self._url, application_name="sentops listen")
        except Unavailable:  # the caller's own turns go on, and the next one tries again
            return
        for channel in self._channels:
            await connection.add_listener(channel, self._on_notice)
        connection.add_termination_listener(self._on_end)
        self._connection = connection
        self._moved.set()

    def _on_notice(self, *_: object) -> None:
        self._moved.set()

    def _on_end(self, *_: object) -> None:
        self._moved.set()
