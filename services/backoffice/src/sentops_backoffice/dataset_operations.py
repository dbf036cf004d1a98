"""What staff do with datasets beyond uploading; pages and API share it."""

from collections.abc import AsyncIterator, Sequence

from fastapi.responses import StreamingResponse
from pydantic import Field

from sentops_backoffice.deps import Parts
from sentops_core.datasets.building import BuildRequest, Built, build_from_edits
from sentops_core.datasets.editing import LONGEST_REASON, edit_label
from sentops_core.datasets.exporting import ExportFormat, exported
from sentops_core.datasets.report import RefusedRow
from sentops_core.datasets.spreadsheets import csv_lines
from sentops_core.domain.base import Body, Label
from sentops_core.store.dataset_rows import ALL_ROWS, BrowsedRow, DatasetRows, RowFilter
from sentops_core.store.datasets import Datasets, VersionRow
from sentops_core.store.examples import KnownExample
from sentops_core.store.pool import Connection, transaction

_EXPORTED_AT_ONCE = 1_000
_REFUSED_COLUMNS = ("line", "row", "reason", "message")


class LabelEdit(Body):
    """`seen` is the label that the editor looked at: a change made meanwhile is not overwritten unseen."""

    label: Label
    seen: Label
    reason: str = Field(min_length=1, max_length=LONGEST_REASON)


async def build_edited_version(
    parts: Parts, *, actor: str, dataset: str | None = None, parent: str | None = None
) -> Built:
    request = BuildRequest(
        store_uri=parts.settings.store_uri, actor=actor, dataset=dataset, parent=parent
    )
    async with parts.building:
        return await build_from_edits(parts.pool, request, detect_language=parts.detect_language)


async def change_label(
    connection: Connection, version: str, content_hash: bytes, edit: LabelEdit, *, actor: str
) -> KnownExample:
    """`version` is the one that the editor looked at: its dataset says which labels there are."""
    looked_at = await Datasets(connection).version(version)
    await DatasetRows(connection).row(looked_at.name, content_hash)
    return await edit_label(
        connection,
        content_hash,
        label=edit.label,
        seen=edit.seen,
        reason=edit.reason,
        labels=looked_at.labels,
        version=looked_at.name,
        actor=actor,
    )


async def exported_rows(
    parts: Parts, version: str, wanted: RowFilter = ALL_ROWS
) -> AsyncIterator[Sequence[BrowsedRow]]:
    """All rows in pages, each in a short transaction of its own: a version never changes."""
    after = b""
    while True:
        async with transaction(parts.pool) as connection:
            rows = await DatasetRows(connection).browse(
                version, wanted, after=after, limit=_EXPORTED_AT_ONCE
            )
        yield rows
        if len(rows) < _EXPORTED_AT_ONCE:
            return
        after = rows[-1].content_hash


def export_of(parts: Parts, version: VersionRow, wanted: ExportFormat) -> StreamingResponse:
    """The version as a file, sent while it is read."""
    return StreamingResponse(
        exported(exported_rows(parts, version.name), wanted),
        media_type=wanted.media_type,
        headers=_attachment(f"{version.dataset}-{version.name}.{wanted}"),
    )


def refused_csv(rows: Sequence[RefusedRow], name: str) -> StreamingResponse:
    """Refused rows as a table for a spreadsheet."""
    lines = [_REFUSED_COLUMNS] + [
        (str(row.row or ""), row.row_id, row.reason, row.message) for row in rows
    ]
    content = b"\xef\xbb\xbf" + csv_lines(lines).encode()
    return StreamingResponse(
        iter([content]),
        media_type=ExportFormat.CSV.media_type,
        headers=_attachment(f"{name}-refused.csv"),
    )


def _attachment(filename: str) -> dict[str, str]:
    """Only names of ours, which need no quoting."""
    return {"content-disposition": f'attachment; filename="{filename}"'}
