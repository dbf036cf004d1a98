"""Opens the substrate of one machine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from prometheus_client import CollectorRegistry

from sentops_core.http.outgoing import CARRIES_TRACE
from sentops_core.store.pool import Pool, transaction
from sentops_trainer.control_plane import ControlPlane, Substrate
from sentops_trainer.converge_loop import ConvergeLoop
from sentops_trainer.local.control_plane import LocalControlPlane
from sentops_trainer.local.model_slots import ModelSlots
from sentops_trainer.local.policies import LocalPolicies
from sentops_trainer.local.processes import Processes
from sentops_trainer.local.resources import Resources
from sentops_trainer.local.substrate import LocalSubstrate
from sentops_trainer.metrics import ConvergeMetrics
from sentops_trainer.settings import LocalSettings


@asynccontextmanager
async def open_one_machine(
    settings: LocalSettings, pool: Pool, registry: CollectorRegistry
) -> AsyncIterator[Substrate]:
    processes = Processes(
        settings.runs_dir, progress_url=settings.progress_url, threads=settings.run_threads
    )
    control = {"authorization": f"Bearer {settings.model_control_token.get_secret_value()}"}
    async with httpx.AsyncClient(
        base_url=settings.model_url,
        headers=control,
        trust_env=False,
        event_hooks=CARRIES_TRACE,
    ) as client:
        substrate = LocalSubstrate(
            pool,
            processes,
            ModelSlots(client),
            model_url=settings.model_url,
            model_name=settings.model_name,
        )
        metrics = ConvergeMetrics.on(registry)
        loop = ConvergeLoop(substrate, metrics, pause_seconds=settings.converge_seconds)

        @asynccontextmanager
        async def control_plane() -> AsyncIterator[ControlPlane]:
            async with transaction(pool) as connection:
                resources = Resources(connection)
                plane = LocalControlPlane(resources, processes, settings.model_name)
                yield plane
            if plane.changed:
                loop.wake()

        yield Substrate(control_plane, loop, LocalPolicies(pool))
