"""Dataset versions with a few labelled texts, for what is shown beside answers."""

from sentops_core.domain.text import content_hash
from sentops_core.store.datasets import DatasetRow, Datasets, NewMember, NewVersion
from sentops_core.store.examples import ExampleRow, Examples
from sentops_core.store.pool import Connection
from tests.support.rows import NOW, uuid7_at


async def a_version(
    connection: Connection,
    number: int,
    *texts: str,
    dataset: str = "reviews-sample",
    parent: str | None = None,
    source: str = "upload:reviews-sample",
    asked: bool = False,
) -> None:
    """A dataset version v<number> whose rows are all labelled negative."""
    datasets = Datasets(connection)
    if await datasets.find(dataset) is None:
        await datasets.create(DatasetRow(dataset, "", "", "", ["negative"], dataset, NOW))
    prediction = uuid7_at(NOW) if asked else None
    keys = [content_hash(text) for text in texts]
    rows = [
        ExampleRow(key, text, "negative", "en", None, source, None, prediction)
        for key, text in zip(keys, texts, strict=True)
    ]
    await Examples(connection).keep(rows)
    version = NewVersion(
        name=f"v{number}",
        number=number,
        dataset=dataset,
        parent=parent,
        content_hash=f"sha256:{number:064d}",
        holdout_hash=f"sha256:{number:064d}",
        storage_uri="file:///nowhere",
        rows_train=len(rows),
        rows_holdout=0,
        label_counts={"negative": len(rows)},
        report={},
        created_by="test",
    )
    members = [NewMember(key, "negative", "train", source, None, prediction) for key in keys]
    await datasets.create_version(version, members)
