"""Which dataset version a short request means."""

from sentops_core.domain.errors import Conflict
from sentops_core.domain.resources import DatasetRef
from sentops_core.store.datasets import Datasets
from sentops_core.store.pool import Connection


async def chosen_dataset(connection: Connection, dataset_id: str | None) -> tuple[str, DatasetRef]:
    """A version's name and reference; the newest one when none is named."""
    datasets = Datasets(connection)
    if dataset_id is None:
        found = await datasets.latest()
        if found is None:
            raise Conflict(
                "There is no dataset yet; upload one first (sentops datasets upload FILE)."
            )
    else:
        found = await datasets.version(dataset_id)
    reference = DatasetRef(
        storage_uri=found.storage_uri,
        content_hash=found.content_hash,
        labels=tuple(found.labels),
    )
    return found.name, reference
