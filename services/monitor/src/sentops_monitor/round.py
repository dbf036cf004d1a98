"""One round of the monitor: count what is due, add up the windows, work out quality and drift, store the figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sentops_core.store.pool import Connection
from sentops_monitor.drift import Drift
from sentops_monitor.windows import WindowTally


@dataclass(frozen=True)
class Figures:
    """What a round found; versions that answered nothing in a window are absent from it."""

    taken_at: datetime
    drifts: tuple[object, ...]


class Round:
    """Remembers between rounds what need not be read again."""

    def __init__(self) -> None:
        self._drift = Drift()

    async def figures(
        self, connection: Connection, windows: Sequence[WindowTally], now: datetime
    ) -> Figures:
        """From the windows as they stand after counting; stored within the caller's transaction."""
        drifts = await self._drift.take(connection, windows, now)
        return Figures(now, drifts)
