"""What a version's artefact tells about it: manifest, card, measures, answers. Immutable, so that once read is enough."""

import asyncio
import io
import json
import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar, cast

import pyarrow as pa
import pyarrow.parquet as pq

from sentops_core.artifacts import read_published_file, read_published_manifest
from sentops_core.domain.artifact import ANSWERS, CARD, METRICS, Manifest
from sentops_core.domain.disagreement import HeldOutAnswer, HeldOutAnswers
from sentops_core.domain.errors import ArtifactError, Unavailable
from sentops_core.domain.resources import ArtifactRef

_MOST_BYTES = 8 << 20
_CARD_BYTES = 512 << 10
_PATIENCE_SECONDS = 5.0  # a page waits for the store no longer
_KEPT = 48
_ANSWERS_KEPT = 8  # some four megabytes each

Read = TypeVar("Read")


class Artefacts:
    """Each method raises ArtifactError for what is damaged or gone, Unavailable for a store that is away."""

    def __init__(self) -> None:
        self._small: OrderedDict[tuple[str, str], object] = OrderedDict()
        self._answers: OrderedDict[tuple[str, str], object] = OrderedDict()

    async def manifest(self, artifact: ArtifactRef) -> Manifest:
        return await self._once(self._small, _KEPT, "manifest", artifact, _manifest)

    async def card(self, artifact: ArtifactRef) -> str:
        return await self._once(self._small, _KEPT, CARD, artifact, _card)

    async def metrics(self, artifact: ArtifactRef) -> dict[str, Any]:
        """metrics.json; empty where the artefact has none."""
        return await self._once(self._small, _KEPT, METRICS, artifact, _metrics)

    async def answers(self, artifact: ArtifactRef) -> HeldOutAnswers | None:
        """None for an artefact of before answers were kept."""
        return await self._once(self._answers, _ANSWERS_KEPT, ANSWERS, artifact, _answers)

    async def _once(
        self,
        kept: OrderedDict[tuple[str, str], object],
        most: int,
        what: str,
        artifact: ArtifactRef,
        read: Callable[[ArtifactRef], Read],
    ) -> Read:
        key = (artifact.digest, what)
        if key in kept:
            kept.move_to_end(key)
            return cast("Read", kept[key])
        try:
            found = await asyncio.wait_for(asyncio.to_thread(read, artifact), _PATIENCE_SECONDS)
        except (OSError, TimeoutError) as error:
            raise Unavailable(
                f"The store of {artifact.storage_uri} does not answer just now."
            ) from error
        kept[key] = found
        while len(kept) > most:
            kept.popitem(last=False)
        return found


def _manifest(artifact: ArtifactRef) -> Manifest:
    return read_published_manifest(artifact.storage_uri, artifact.digest)


def _file(artifact: ArtifactRef, name: str, most: int = _MOST_BYTES) -> bytes | None:
    return read_published_file(artifact.storage_uri, _manifest(artifact), name, most_bytes=most)


def _card(artifact: ArtifactRef) -> str:
    return (_file(artifact, CARD, _CARD_BYTES) or b"").decode("utf-8", "replace")


def _metrics(artifact: ArtifactRef) -> dict[str, Any]:
    try:
        found = json.loads(_file(artifact, METRICS) or b"{}")
    except ValueError as error:
        raise ArtifactError(f"{METRICS} is no JSON") from error
    return found if isinstance(found, dict) else {}


def _answers(artifact: ArtifactRef) -> HeldOutAnswers | None:
    content = _file(artifact, ANSWERS)
    if content is None:
        return None
    try:
        table = pq.read_table(io.BytesIO(content)).to_pydict()
        rows = zip(
            table["content_hash"], table["truth"], table["answer"], table["score"], strict=True
        )
        return {
            row: HeldOutAnswer(sys.intern(truth), sys.intern(answer), score)
            for row, truth, answer, score in rows
        }
    except (pa.ArrowException, KeyError, TypeError) as error:
        raise ArtifactError(f"{ANSWERS} cannot be read: {error}") from error
