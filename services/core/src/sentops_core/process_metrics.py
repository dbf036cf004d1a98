"""Metrics that every program has: itself, what it was built from, and the room on its volumes."""

import os
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

import prometheus_client
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Info,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


def new_registry(program: str) -> CollectorRegistry:
    """A registry with the process's own figures; one per app, so tests start from nothing."""
    # Else each series has a twin that says when it was made, which nobody asks for.
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    build = Info("sentops_build", "The program and its version, always 1.", registry=registry)
    build.info({"program": program, "version": version("sentops-core")})
    return registry


class Disks(Collector):
    """How much room there is where the program writes; a volume that does not answer is absent."""

    def __init__(self, volumes: Mapping[str, Path]) -> None:
        self._volumes = dict(volumes)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        free = GaugeMetricFamily(
            "sentops_disk_free_bytes",
            "Room that the program may still use on the disk of this volume.",
            labels=("volume",),
        )
        size = GaugeMetricFamily(
            "sentops_disk_size_bytes", "Size of that disk.", labels=("volume",)
        )
        for volume, path in self._volumes.items():
            try:
                found = os.statvfs(_existing(path))
            except OSError:
                continue
            free.add_metric((volume,), found.f_bavail * found.f_frsize)
            size.add_metric((volume,), found.f_blocks * found.f_frsize)
        yield from (free, size)


def _existing(path: Path) -> Path:
    """The folder itself, or where it will be made."""
    return next(one for one in (path, *path.absolute().parents) if one.exists())
