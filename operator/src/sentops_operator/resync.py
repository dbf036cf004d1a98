"""The safety net under the watches: lists everything now and then, queues it, and notices a watch that went silent."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import structlog

from sentops_core.domain.errors import PlatformError
from sentops_core.kube.api import KubeApi
from sentops_core.kube.kinds import MODEL_VERSION, TRAINING_JOB, Kind
from sentops_operator.manifests.metadata import FIELD_MANAGER, MANAGED_BY_LABEL
from sentops_operator.object_cache import WATCHED, ObjectCache
from sentops_operator.work_queue import WorkQueue

log = structlog.get_logger()

_PAUSE_AFTER_FAILURE = timedelta(seconds=2)


class Resync:
    def __init__(
        self,
        api: KubeApi,
        cache: ObjectCache,
        queue: WorkQueue,
        *,
        namespaces: Sequence[str],
        every: timedelta,
        watch_patience: timedelta,
    ) -> None:
        self._api = api
        self._cache = cache
        self._queue = queue
        self._namespaces: Sequence[str | None] = namespaces or (None,)
        self._every = every
        self._watch_patience = watch_patience
        self.first_done = asyncio.Event()
        self.silent_watch: str | None = None

    async def run(self) -> None:
        while True:
            try:
                unwatched = await self.round()
            except PlatformError as error:
                log.warning("resync_failed", code=error.code, error=str(error))
                await asyncio.sleep(_PAUSE_AFTER_FAILURE.total_seconds())
                continue
            self.first_done.set()
            patience = self._watch_patience.total_seconds()
            asyncio.get_running_loop().call_later(patience, self._judge_watches, unwatched)
            await asyncio.sleep(self._every.total_seconds())

    async def round(self) -> dict[Any, int]:
        """Everything listed is known and queued; gives what no watch has told of yet."""
        unwatched: dict[Any, int] = {}
        for kind in WATCHED:
            for namespace in self._namespaces:
                before = self._cache.known(kind, namespace)
                listed = await self._api.list(kind, namespace, labels=_labels(kind))
                unwatched |= self._cache.unwatched(kind, listed)
                for key in self._cache.replace(kind, listed, before):
                    self._queue.add(key)
        return unwatched

    def _judge_watches(self, unwatched: dict[Any, int]) -> None:
        missed = self._cache.still_unwatched(unwatched)
        if not missed:
            self.silent_watch = None
            return
        kind, namespace, name = missed[0]
        self.silent_watch = f"No watch told of {kind.name} {namespace}/{name}, which a list shows."
        log.error("watch_silent", kind=kind.name, name=name, missed=len(missed))


def _labels(kind: Kind) -> dict[str, str] | None:
    return None if kind in {TRAINING_JOB, MODEL_VERSION} else {MANAGED_BY_LABEL: FIELD_MANAGER}
