"""Uploads in two steps: a file is kept for its owner until the owner has said how to read it.

Bounded in size (one file, all files), in number (per person) and in time.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO
from uuid import UUID, uuid4

import asyncpg
import structlog

from sentops_backoffice.deps import Parts
from sentops_backoffice.uploads import Received, UploadFields, as_file
from sentops_core.datasets.building import NO_PARENT, Built, build_from_file
from sentops_core.datasets.preview import Preview, preview_file
from sentops_core.datasets.reading import read_file
from sentops_core.domain.errors import Conflict, PlatformError
from sentops_core.domain.resources import DEFAULT_LABELS
from sentops_core.store.datasets import Datasets
from sentops_core.store.pool import Pool, transaction
from sentops_core.store.staged_uploads import StagedFile, StagedUpload, StagedUploads

log = structlog.get_logger()

KEPT = timedelta(hours=24)
MOST_PER_PERSON = 5
_MOST_BYTES = 512 << 20
_PIECE = 1 << 20
_TIDIED_EVERY = timedelta(minutes=10)


async def stage(parts: Parts, upload: Received, *, owner: str) -> UUID:
    """Keep the file and a first preview of it; refuses what could be read in no way at all."""
    labels = await labels_for(parts, upload.fields)
    async with transaction(parts.pool) as connection:
        await _require_room(StagedUploads(connection), owner, upload.size)
    async with parts.reading:
        preview = await asyncio.to_thread(
            _preview, upload.content, upload.filename, upload.fields, labels
        )
    made = uuid4()
    async with transaction(parts.pool) as connection:
        staged = StagedUploads(connection)
        await staged.lock()
        await staged.remove_expired()
        await _require_room(staged, owner, upload.size)
        await staged.create(
            made,
            owner,
            upload.filename,
            upload.size,
            _pieces(upload.content),
            choices=upload.fields.model_dump(mode="json"),
            preview=preview.model_dump(mode="json"),
            expires_at=datetime.now(UTC) + KEPT,
        )
    log.info("upload_staged", bytes=upload.size, format=preview.format)
    return made


async def look_again(parts: Parts, upload: UUID, fields: UploadFields, *, owner: str) -> Preview:
    """The preview under other choices, which are kept: whoever loads the page again finds them."""
    labels = await labels_for(parts, fields)
    async with _kept_file(parts.pool, upload, owner) as (kept, path):
        async with parts.reading:
            preview = await asyncio.to_thread(
                preview_file, path, kept.filename, fields.options(labels)
            )
        async with transaction(parts.pool) as connection:
            await StagedUploads(connection).choose(
                upload, owner, fields.model_dump(mode="json"), preview.model_dump(mode="json")
            )
    return preview


async def confirm(parts: Parts, upload: UUID, fields: UploadFields, *, owner: str) -> Built:
    """The upload as a version; it is kept only if it could not become one."""
    labels = await labels_for(parts, fields)
    async with _kept_file(parts.pool, upload, owner) as (kept, path), parts.building:
        reading = await asyncio.to_thread(read_file, path, kept.filename, fields.options(labels))
        built = await build_from_file(
            parts.pool,
            reading,
            fields.request(parts, actor=owner),
            detect_language=parts.detect_language,
        )
    await discard(parts, upload, owner=owner)
    return built


async def discard(parts: Parts, upload: UUID, *, owner: str) -> bool:
    """Whether it was there."""
    async with transaction(parts.pool) as connection:
        return await StagedUploads(connection).remove(upload, owner)


async def waiting_uploads(parts: Parts, *, owner: str) -> list[StagedFile]:
    async with transaction(parts.pool) as connection:
        return await StagedUploads(connection).of_owner(owner)


@asynccontextmanager
async def tidied(pool: Pool) -> AsyncIterator[None]:
    """As long as the block runs, uploads that waited too long go, whether or not anybody looks."""
    tidying = asyncio.create_task(_tidy(pool))
    try:
        yield
    finally:
        tidying.cancel()
        with suppress(asyncio.CancelledError):
            await tidying


async def _tidy(pool: Pool) -> None:
    while True:
        try:
            async with transaction(pool) as connection:
                gone = await StagedUploads(connection).remove_expired()
            if gone:
                log.info("uploads_expired", count=gone)
        except (PlatformError, asyncpg.PostgresError) as error:  # the next round tries again
            log.warning("uploads_not_tidied", reason=str(error))
        await asyncio.sleep(_TIDIED_EVERY.total_seconds())


async def labels_for(parts: Parts, fields: UploadFields) -> tuple[str, ...]:
    """The labels that the rows can have: those of the dataset they go to, else the usual ones."""
    async with transaction(parts.pool) as connection:
        datasets = Datasets(connection)
        if fields.name is not None:
            dataset = await datasets.find(fields.name)
            return tuple(dataset.labels) if dataset else DEFAULT_LABELS
        named = fields.parent if fields.parent not in {None, NO_PARENT} else None
        version = await datasets.version(named) if named else await datasets.latest()
    return tuple(version.labels) if version else DEFAULT_LABELS


async def _require_room(staged: StagedUploads, owner: str, size: int) -> None:
    room = await staged.room(owner)
    if room.own >= MOST_PER_PERSON:
        raise Conflict(
            f"{MOST_PER_PERSON} uploads of yours wait already: confirm or discard one first.",
            saying="upload_too_many",
            facts={"most": MOST_PER_PERSON},
        )
    if room.bytes + size > _MOST_BYTES:
        raise Conflict(
            f"All waiting uploads together fill the {_MOST_BYTES >> 20} MiB kept for them: confirm or discard some.",
            saying="upload_no_room",
            facts={"mebibytes": _MOST_BYTES >> 20},
        )


def _preview(
    content: BinaryIO, filename: str, fields: UploadFields, labels: tuple[str, ...]
) -> Preview:
    with as_file(content) as path:
        return preview_file(path, filename, fields.options(labels))


def _pieces(content: BinaryIO) -> Iterator[bytes]:
    content.seek(0)
    while piece := content.read(_PIECE):
        yield piece


@asynccontextmanager
async def _kept_file(
    pool: Pool, upload: UUID, owner: str
) -> AsyncIterator[tuple[StagedUpload, Path]]:
    """The upload and its bytes in a file that goes when the block ends."""
    with tempfile.NamedTemporaryFile(prefix="sentops-upload-") as copy:
        async with transaction(pool) as connection:
            staged = StagedUploads(connection)
            kept = await staged.find(upload, owner)
            async for piece in staged.pieces(upload):
                copy.write(piece)
        copy.flush()
        yield kept, Path(copy.name)
