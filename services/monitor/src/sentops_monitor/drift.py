"""How far what is asked and answered has moved from what each version was trained on, per window."""

from collections.abc import Sequence
from datetime import datetime

from sentops_core.store.pool import Connection
from sentops_monitor.windows import WindowTally


class Drift:
    """Kept by the round, so it may remember what it has read."""

    async def take(
        self, connection: Connection, windows: Sequence[WindowTally], now: datetime
    ) -> tuple[object, ...]:
        """Work out and store the figures of this round; inside the round's transaction."""
        return ()
