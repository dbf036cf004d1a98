"""Slots: what is served as champion and as candidate, and how another version takes a slot without a dropped request.

A request takes a lease on the model that its slot holds when it arrives. A change loads and verifies the new model
beside the old one, switches the slot in one step of the event loop, waits until the leases on the old model are
given back, and lets it go. A failure before the switch leaves the old one serving.
"""

import asyncio
import ctypes
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import structlog
from pydantic import Field

from sentops_core.artifacts import fetch_artifact, prune_cache, read_manifest
from sentops_core.domain.artifact import Manifest
from sentops_core.domain.base import Body, Digest, StorageUri
from sentops_core.domain.errors import ArtifactError, PlatformError, Unavailable
from sentops_core.inference import Scorer
from sentops_core.inference.session import Provider
from sentops_model_server.metrics import ModelMetrics

log = structlog.get_logger()

_DRAIN_SECONDS = 60
_WAITING = "waiting for a version"


class SlotName(StrEnum):
    CHAMPION = "champion"
    CANDIDATE = "candidate"


class SlotState(StrEnum):
    EMPTY = "Empty"
    LOADING = "Loading"
    READY = "Ready"
    FAILED = "Failed"  # the wanted digest was refused for good; what served before still does


class WantedVersion(Body):
    """What a slot shall serve."""

    storage_uri: StorageUri
    digest: Digest
    model_version: Annotated[str, Field(min_length=1, max_length=253)]


class SlotStatus(Body):
    """What a slot serves (version and digest are absent when nothing), what was last asked of it, and how that went."""

    state: SlotState
    message: str
    model_version: str | None = None
    digest: str | None = None
    wanted_digest: str | None = None


@dataclass(eq=False)
class LoadedModel:
    """A verified scorer, and who uses it right now: `with model:` is a lease."""

    scorer: Scorer
    manifest: Manifest
    digest: str
    leases: int = 0
    drained: asyncio.Event = field(default_factory=asyncio.Event)

    def __enter__(self) -> None:
        self.leases += 1
        self.drained.clear()

    def __exit__(self, *_: object) -> None:
        self.leases -= 1
        if self.leases == 0:
            self.drained.set()


@dataclass(frozen=True)
class Loading:
    """How models are loaded, whichever they are."""

    fast_path: bool = True
    provider: Provider = "cpu"


_PLAINLY = Loading()


@dataclass(frozen=True)
class Serving:
    """A model under the name of a version."""

    model_version: str
    model: LoadedModel


@dataclass
class _Slot:
    serving: Serving | None = None
    state: SlotState = SlotState.EMPTY
    message: str = _WAITING
    wanted_digest: str | None = None


class Slots:
    """The two slots. Changes are made one after another; reading never waits."""

    def __init__(self, cache_dir: Path, metrics: ModelMetrics, loading: Loading = _PLAINLY) -> None:
        self._cache_dir = cache_dir
        self._loading = loading
        self._metrics = metrics
        self._slots = {name: _Slot() for name in SlotName}
        self._one_change = asyncio.Lock()

    def serving(self, name: SlotName) -> Serving:
        """What the slot serves; Unavailable (503) when nothing."""
        slot = self._slots[name]
        if slot.serving is None:
            raise Unavailable(
                f"No model is loaded yet in the {name} slot ({slot.message}); try again in a moment."
            )
        return slot.serving

    def status(self, name: SlotName) -> SlotStatus:
        slot = self._slots[name]
        serving = slot.serving
        return SlotStatus(
            state=slot.state,
            message=slot.message,
            model_version=serving.model_version if serving else None,
            digest=serving.model.digest if serving else None,
            wanted_digest=slot.wanted_digest,
        )

    async def put(self, name: SlotName, wanted: WantedVersion) -> SlotStatus:
        """Serve the wanted version in this slot; returns once the old one is drained and unloaded."""
        async with self._one_change:
            slot = self._slots[name]
            slot.state, slot.message = SlotState.LOADING, f"loading {wanted.model_version}"
            slot.wanted_digest = wanted.digest
            try:
                model = self._loaded(wanted.digest) or await self._load(wanted)
            except BaseException as error:
                self._failed(name, wanted, error)
                raise
            # No local name may hold the replaced model here, or its memory would outlive the unloading.
            await self._unload(self._switch(name, Serving(wanted.model_version, model)))
            return self.status(name)

    async def clear(self, name: SlotName) -> SlotStatus:
        """Serve nothing in this slot; empty already is success."""
        async with self._one_change:
            await self._unload(self._empty(name))
            return self.status(name)

    def _loaded(self, digest: str) -> LoadedModel | None:
        """The model of this digest if either slot holds it: a candidate is promoted without loading it again."""
        for slot in self._slots.values():
            if slot.serving is not None and slot.serving.model.digest == digest:
                return slot.serving.model
        return None

    async def _load(self, wanted: WantedVersion) -> LoadedModel:
        started = time.monotonic()
        beside = [slot.serving.model.scorer for slot in self._slots.values() if slot.serving]
        model = await asyncio.to_thread(
            load_verified, wanted, self._cache_dir, self._loading, beside
        )
        beside.clear()  # the pool's thread may hold the list a while, and the replaced model with it
        self._metrics.load.observe(time.monotonic() - started)
        return model

    def _switch(self, name: SlotName, serving: Serving) -> Serving | None:
        slot = self._slots[name]
        replaced, slot.serving = slot.serving, serving
        slot.state, slot.message = SlotState.READY, f"serving {serving.model_version}"
        self._no_longer_serving(name, replaced)
        self._metrics.serving.labels(name, serving.model_version, serving.model.digest).set(1)
        self._metrics.slot_changes.labels(name, "ready").inc()
        log.info(
            "slot_switched",
            slot=name,
            model_version=serving.model_version,
            digest=serving.model.digest,
        )
        return replaced

    def _empty(self, name: SlotName) -> Serving | None:
        slot = self._slots[name]
        replaced, slot.serving = slot.serving, None
        slot.state, slot.message, slot.wanted_digest = SlotState.EMPTY, _WAITING, None
        self._no_longer_serving(name, replaced)
        return replaced

    def _failed(self, name: SlotName, wanted: WantedVersion, error: BaseException) -> None:
        """Failed is said of a bad artefact only: a store that is away proves nothing against the version."""
        slot = self._slots[name]
        why = str(error) if isinstance(error, PlatformError) else type(error).__name__
        kept = f"; {slot.serving.model_version} keeps serving" if slot.serving else ""
        slot.message = f"{wanted.model_version} was not loaded: {why}{kept}"
        if isinstance(error, PlatformError) and error.retry_after is None:
            slot.state = SlotState.FAILED
        else:
            slot.state = SlotState.READY if slot.serving else SlotState.EMPTY
        self._metrics.slot_changes.labels(name, "failed").inc()
        log.warning("slot_change_failed", slot=name, model_version=wanted.model_version, reason=why)

    def _no_longer_serving(self, name: SlotName, replaced: Serving | None) -> None:
        if replaced is not None:
            self._metrics.serving.remove(name, replaced.model_version, replaced.model.digest)

    async def _unload(self, replaced: Serving | None) -> None:
        """Wait for the requests that use the old model, then give its memory back."""
        if replaced is None or self._loaded(replaced.model.digest) is replaced.model:
            return
        model = replaced.model
        del replaced
        if model.leases:
            try:
                await asyncio.wait_for(model.drained.wait(), _DRAIN_SECONDS)
            except TimeoutError:  # its memory goes with its last request instead
                log.warning("drain_timed_out", digest=model.digest, leases=model.leases)
        del model
        await asyncio.to_thread(_trim_memory)


def load_verified(
    wanted: WantedVersion,
    cache_dir: Path,
    loading: Loading = _PLAINLY,
    beside: Sequence[Scorer] = (),
) -> LoadedModel:
    """Fetch, load and verify an artefact; ArtifactError says in a sentence why it must not serve."""
    folder = fetch_artifact(wanted.storage_uri, wanted.digest, cache_dir)
    scorer = Scorer.load(folder, beside=beside, provider=loading.provider)
    scorer.verify_golden()  # what an artefact promises, it promises with its student
    if not loading.fast_path:
        scorer = scorer.without_fast_path()
    manifest = read_manifest(folder)
    measured = set(manifest.evaluation.per_class)
    if measured != set(scorer.config.labels):
        raise ArtifactError(
            f"the artefact answers with the labels {sorted(scorer.config.labels)} but was evaluated on {sorted(measured)}"
        )
    prune_cache(cache_dir)
    _warm_up(scorer)
    return LoadedModel(scorer, manifest, wanted.digest)


_WARM_UP_WORDS = (1, 8, 32, 128, 512)


def _warm_up(scorer: Scorer) -> None:
    """Texts of several lengths, so that the first client does not wait for memory that is not yet there."""
    for words in _WARM_UP_WORDS:
        scorer.score_one("good " * words)


def _trim_memory() -> None:
    """Return freed pages to the system: glibc keeps them otherwise, and swap after swap adds up."""
    if sys.platform == "linux":
        try:
            ctypes.CDLL(None).malloc_trim(0)
        except AttributeError:  # musl has no such function, and needs none
            return
