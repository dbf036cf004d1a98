"""What versions look like as a whole: from their reports, else counted once and remembered."""

from collections import Counter
from dataclasses import dataclass, field

from sentops_core.datasets.profile import (
    UNKNOWN_LANGUAGE,
    NearDuplicates,
    Profile,
    lengths_of,
)
from sentops_core.store.dataset_rows import DatasetRows
from sentops_core.store.datasets import VersionRow
from sentops_core.store.pool import Connection

_REMEMBERED = 256


@dataclass
class Profiles:
    """Versions never change but by erasure, which their count of erased rows tells."""

    _known: dict[tuple[str, int], Profile] = field(default_factory=dict)

    async def of(self, connection: Connection, version: VersionRow) -> Profile:
        """As it was built; near-duplicates are unknown where the building program did not look for them."""
        if stored := version.report.get("profile"):
            return Profile.model_validate(stored)
        key = (version.name, version.erased_rows)
        if key not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.pop(next(iter(self._known)))
            self._known[key] = await _counted(connection, version.name)
        return self._known[key]


async def _counted(connection: Connection, version: str) -> Profile:
    rows = await DatasetRows(connection).descriptions(version)
    languages = Counter(row.language or UNKNOWN_LANGUAGE for row in rows)
    return Profile(
        lengths=lengths_of(len(row.text) for row in rows),
        languages=dict(languages.most_common()),
        sources=dict(Counter(row.source for row in rows).most_common()),
        near_duplicates=NearDuplicates(count=None),
    )
