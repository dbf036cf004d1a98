"""Opens the substrate of a cluster."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from sentops_core.kube import KubeApi, open_client
from sentops_core.store.pool import Pool
from sentops_trainer.cluster.control_plane import ClusterControlPlane
from sentops_trainer.cluster.custom_resources import CustomResources
from sentops_trainer.cluster.mirror_loop import MirrorLoop
from sentops_trainer.cluster.names import FIELD_MANAGER
from sentops_trainer.cluster.policies import ClusterPolicies
from sentops_trainer.control_plane import ControlPlane, Substrate
from sentops_trainer.metrics import MirrorMetrics
from sentops_trainer.settings import ClusterSettings


@asynccontextmanager
async def open_cluster(
    settings: ClusterSettings, pool: Pool, registry: CollectorRegistry
) -> AsyncIterator[Substrate]:
    async with open_client() as client:
        api = KubeApi(client, field_manager=FIELD_MANAGER)
        resources = CustomResources(api, settings.namespace)
        metrics = MirrorMetrics.on(registry)
        loop = MirrorLoop(pool, resources, metrics, pause_seconds=settings.mirror_seconds)

        @asynccontextmanager
        async def control_plane() -> AsyncIterator[ControlPlane]:
            plane = ClusterControlPlane(pool, resources, settings.model_name)
            yield plane
            if plane.changed:
                loop.wake()

        yield Substrate(control_plane, loop, ClusterPolicies(pool, resources))
