"""What each version was trained on goes from its artefact to the database, where the monitor finds it.

On its own and in no hurry: whatever the artefact store does, nobody waits for it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog
from pydantic import ValidationError

from sentops_core.artifacts import read_published_file, read_published_manifest
from sentops_core.domain.artifact import REFERENCE
from sentops_core.domain.errors import PlatformError, Unavailable
from sentops_core.domain.reference import ReferenceProfile
from sentops_core.store.pool import Pool, session
from sentops_core.store.version_references import Unread, VersionReferences

log = structlog.get_logger()

_MOST_BYTES = 1024 * 1024  # ten times what the largest takes
_BETWEEN_LOOKS = timedelta(seconds=5)
_LONGEST_PAUSE = timedelta(hours=1)


@asynccontextmanager
async def reading_references(
    pool: Pool, *, every: timedelta = _BETWEEN_LOOKS
) -> AsyncIterator[None]:
    """The loop runs while the block does."""
    task = asyncio.create_task(ReferenceLoop(pool, every=every).run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class ReferenceLoop:
    """Several replicas may do the same; the first one to store it is as good as the others."""

    def __init__(self, pool: Pool, *, every: timedelta = _BETWEEN_LOOKS) -> None:
        self._pool = pool
        self._every = every.total_seconds()
        self._setbacks: dict[str, _Setback] = {}
        self._trouble = ""

    async def run(self) -> None:
        pause = self._every
        while True:
            try:
                await self.round()
            except PlatformError as error:
                self._say_once(error.code, str(error))
            except Exception as error:
                if self._say_once("internal", repr(error)):
                    log.exception("reading_references_broke")
            else:
                self._say_once("", "")
            pause = min(pause * 2, 60.0) if self._trouble else self._every
            await asyncio.sleep(pause)

    async def round(self) -> None:
        """Read what has not been read. Unavailable, when the store or the database is away, leaves the rest for later."""
        async with session(self._pool) as connection:
            unread = await VersionReferences(connection).unread()
        self._setbacks = {
            one.digest: self._setbacks[one.digest] for one in unread if one.digest in self._setbacks
        }
        now = asyncio.get_running_loop().time()
        for one in unread:
            setback = self._setbacks.get(one.digest)
            if setback is not None and now < setback.until:
                continue
            try:
                profile = await asyncio.to_thread(read_reference, one)
            except Unavailable:
                raise
            except PlatformError as error:  # this artefact only; it may be mended or come back
                pause = self._every if setback is None else setback.pause * 2
                pause = min(pause, _LONGEST_PAUSE.total_seconds())
                self._setbacks[one.digest] = _Setback(pause, now + pause)
                if setback is None:
                    log.warning(
                        "reference_not_readable", model_version=one.model_version, why=str(error)
                    )
                continue
            async with session(self._pool) as connection:
                await VersionReferences(connection).keep(one.model_version, one.digest, profile)
            log.info("reference_read", model_version=one.model_version, present=profile is not None)

    def _say_once(self, kind: str, why: str) -> bool:
        """One line for each change, whether it is new."""
        if kind == self._trouble:
            return False
        self._trouble = kind
        if kind:
            log.warning("reading_references_waits", why=why)
        else:
            log.info("reading_references_goes_on")
        return True


@dataclass(frozen=True)
class _Setback:
    """Seconds of the event loop's clock."""

    pause: float
    until: float


def read_reference(version: Unread) -> ReferenceProfile | None:
    """What the artefact says of its training, known to be what was published; None where it says nothing."""
    manifest = read_published_manifest(version.storage_uri, version.digest)
    content = read_published_file(version.storage_uri, manifest, REFERENCE, most_bytes=_MOST_BYTES)
    if content is None:
        return None
    try:
        return ReferenceProfile.model_validate_json(content)
    except ValidationError:
        # Its digest is right, so it will never be another one: made elsewhere, or by a later release.
        log.warning("reference_not_understood", model_version=version.model_version)
        return None
