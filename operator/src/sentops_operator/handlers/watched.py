"""One handler for every kind we watch: remember the object, and queue whom it concerns."""

from dataclasses import dataclass
from typing import Any

import kopf

from sentops_core.kube.kinds import TRAINING_JOB, Kind
from sentops_operator.converger import Converger
from sentops_operator.manifests.metadata import FIELD_MANAGER, MANAGED_BY_LABEL
from sentops_operator.object_cache import WATCHED, ObjectCache
from sentops_operator.work_queue import WorkQueue

# Asked of the API server, so that a cluster's other pods never reach us.
OURS = f"{MANAGED_BY_LABEL}={FIELD_MANAGER}"


@dataclass(frozen=True)
class Watched:
    """What the handlers write to; kopf's memo."""

    cache: ObjectCache
    queue: WorkQueue
    converger: Converger

    def told(self, kind: Kind, event_type: str | None, found: dict[str, Any]) -> None:
        if event_type == "DELETED":
            key = self.cache.forget(kind, found)
        else:
            key = self.cache.see(kind, found, watched=True)
            if kind == TRAINING_JOB:
                self.converger.first_seen(found)
        if key is not None:
            self.queue.add(key)


def register(registry: kopf.OperatorRegistry) -> None:
    for kind in WATCHED:
        _register_one(registry, kind)


def _register_one(registry: kopf.OperatorRegistry, kind: Kind) -> None:
    group, _, version = kind.api_version.rpartition("/")

    async def told(event: kopf.RawEvent, memo: Watched, **_: object) -> None:
        memo.told(kind, event["type"], dict(event["object"]))

    kopf.on.event(group, version, kind.plural, id=f"watch-{kind.plural}", registry=registry)(told)


def only_ours(settings: kopf.OperatorSettings) -> None:
    """Children by label; the custom resources are all ours."""
    for kind in WATCHED:
        if not kind.api_version.startswith("sentops.dev/"):
            group = kind.api_version.rpartition("/")[0]
            address = f"{kind.plural}.{group}" if group else kind.plural
            settings.watching.label_selectors[address] = OURS
