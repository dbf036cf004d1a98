"""How far what is asked and answered has moved from what each version was trained on, per window."""

from collections.abc import Sequence
from datetime import datetime

from sentops_core.domain.drift import DriftFigures, drift_of
from sentops_core.store.drift_figures import DriftTable
from sentops_core.store.pool import Connection
from sentops_monitor.references import References
from sentops_monitor.windows import WindowTally


class Drift:
    """Kept by the round, which refreshes `references` before it counts: what is counted depends on them."""

    def __init__(self) -> None:
        self.references = References()

    async def take(
        self, connection: Connection, windows: Sequence[WindowTally], now: datetime
    ) -> tuple[DriftFigures, ...]:
        """Work out and store the figures of this round; inside the round's transaction."""
        figures = tuple(self._figures_of(one) for one in windows)
        await DriftTable(connection).save(figures, now)
        return figures

    def _figures_of(self, tally: WindowTally) -> DriftFigures:
        reference = self.references.of(tally.model_version)
        if isinstance(reference, str):
            return DriftFigures(tally.model_version, tally.window, (), unknown=reference)
        features = drift_of(reference, tally.all_answers, tally.languages)
        return DriftFigures(tally.model_version, tally.window, features)
