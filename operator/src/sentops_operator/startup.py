"""Wires the operator: client, cache, queue, workers, watches, probes."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import kopf
import structlog
from aiohttp import web
from kubernetes.aio.client import ApiClient

from sentops_core.kube.api import KubeApi
from sentops_core.process_metrics import new_registry
from sentops_operator.converger import Converger, run_workers
from sentops_operator.events import EventRecorder
from sentops_operator.handlers import watched
from sentops_operator.leadership import LeaseTimes, while_leading
from sentops_operator.manifests.job import RunSettings
from sentops_operator.manifests.metadata import FIELD_MANAGER
from sentops_operator.manifests.serving import ServingSettings
from sentops_operator.metrics import OperatorMetrics
from sentops_operator.model_servers import ModelServers
from sentops_operator.object_cache import ObjectCache
from sentops_operator.progress import ProgressBoard
from sentops_operator.resync import Resync
from sentops_operator.runs import Runs
from sentops_operator.server import RunTokens, build_server
from sentops_operator.settings import Settings
from sentops_operator.substrate import KubernetesSubstrate
from sentops_operator.work_queue import WorkQueue

log = structlog.get_logger()


@dataclass(frozen=True)
class Patience:
    """How long things may take before they count as broken; tests have less of it."""

    watch: timedelta = timedelta(
        seconds=90
    )  # a watch tells within a second; kopf reconnects a silent one after 70
    # One turn is a handful of calls, each with a limit of seconds; one that takes longer hangs.
    turn: timedelta = timedelta(minutes=5)
    lease: LeaseTimes = field(default_factory=LeaseTimes)


class Operator:
    """Built once by `__main__`; `run` until SIGTERM, until the lease is lost, or something breaks."""

    def __init__(
        self,
        settings: Settings,
        client: ApiClient,
        *,
        patience: Patience | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._client = client
        self._patience = patience or Patience()
        self.registry = new_registry("operator")
        self.cache = ObjectCache()
        self.queue = WorkQueue()
        self.metrics = OperatorMetrics.on(self.registry, self.cache, self.queue)
        api = KubeApi(client, field_manager=FIELD_MANAGER, observer=self.metrics.count_call)
        self.progress = ProgressBoard()
        self._tokens = RunTokens(api)
        substrate = KubernetesSubstrate(
            api,
            self.cache,
            Runs(api, self.cache, to_run_settings(settings)),
            ModelServers(api, self.cache, to_serving_settings(settings)),
            self.progress,
            EventRecorder(api, instance=settings.pod_name),
            clock=clock,
        )
        self.converger = Converger(
            self.cache,
            substrate,
            self.queue,
            self.metrics,
            refresh_every=settings.resync / 2,
            clock=clock,
        )
        self.resync = Resync(
            api,
            self.cache,
            self.queue,
            namespaces=settings.namespaces,
            every=settings.resync,
            watch_patience=self._patience.watch,
        )
        self._leading = False
        self.address: tuple[str, int] | None = None  # where the server listens
        self.ready = asyncio.Event()  # kopf's watches are open

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._serve())
            group.create_task(self.resync.run())
            group.create_task(self._converge())
            await self._watch()  # kopf heeds SIGTERM, and ends everything with it
            raise _Ended

    async def _converge(self) -> None:
        await self.resync.first_done.wait()
        if self._settings.leader_election:
            await while_leading(
                self._client,
                namespace=self._settings.namespace,
                identity=self._settings.pod_name,
                times=self._patience.lease,
                work=self._lead,
            )
        else:
            await self._lead()

    async def _lead(self) -> None:
        self._leading = True
        self.metrics.is_leader.set(1)
        await run_workers(self.converger, self._settings.workers)

    async def _watch(self) -> None:
        """Until SIGTERM, or until kopf breaks. Not `kopf.operator`: it would end our own tasks as its leftovers."""
        if not await self._listed():
            return
        registry = kopf.OperatorRegistry()
        watched.register(registry)
        kopf.on.login(registry=registry)(_login)
        namespaces = self._settings.namespaces
        tasks = await kopf.spawn_tasks(
            registry=registry,
            settings=kopf_settings(),
            standalone=True,  # the Lease keeps replicas apart
            clusterwide=not namespaces,
            namespaces=namespaces,
            memo=watched.Watched(self.cache, self.queue, self.converger),
            ready_flag=self.ready,
        )
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _listed(self) -> bool:
        """Kopf never watches a kind whose CRD comes later than itself, so that is waited for; False at SIGTERM."""
        told_to_end = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):  # kopf takes them over from us
            loop.add_signal_handler(number, told_to_end.set)
        waits = [
            asyncio.ensure_future(event.wait()) for event in (self.resync.first_done, told_to_end)
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
        return not told_to_end.is_set()

    async def _serve(self) -> None:
        app = build_server(
            self.registry,
            self.cache,
            self.queue,
            self.progress,
            self._tokens,
            why_not_alive=self.why_not_alive,
            why_not_ready=self.why_not_ready,
            leading=lambda: self._leading,
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._settings.host, self._settings.port)
            try:
                await site.start()
            except OSError as error:
                raise PortUnusable(
                    f"Port {self._settings.port} on {self._settings.host}: {error.strerror}"
                ) from error
            self.address = runner.addresses[0]
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    def why_not_alive(self) -> str | None:
        """That this answers proves the event loop; the rest is asked of watches and workers."""
        if self.resync.silent_watch is not None:
            return self.resync.silent_watch
        turn = self.converger.longest_turn()
        if turn > self._patience.turn:
            return f"A turn has hung for {turn.total_seconds():.0f} s."
        return None

    def why_not_ready(self) -> str | None:
        if not self.resync.first_done.is_set():
            return "The cluster has not been listed yet."
        if not self.ready.is_set():
            return "The watches are not open yet."
        return None


class PortUnusable(Exception):
    """Somebody else listens there, or we may not."""


class _Ended(Exception):
    """Ends the task group once its first part has ended."""


async def run_operator(settings: Settings, client: ApiClient) -> None:
    """Until SIGTERM; raises what broke it, such as LeadershipLost."""
    operator = Operator(settings, client)
    try:
        await operator.run()
    except* _Ended:
        log.info("operator_ended")


def kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True  # no right to watch CRDs and namespaces is needed
    settings.posting.enabled = False  # our events say what happened to a resource, not to a handler
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 15
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.enforce_retry_after = True
    settings.networking.error_backoffs = (
        1,
        1,
        2,
        3,
        5,
    )  # over and over; no watch is away for longer
    watched.only_ours(settings)
    return settings


def _login(**context: Any) -> kopf.ConnectionInfo | None:
    """The pod's service account, else the user's kubeconfig."""
    return kopf.login_with_service_account(**context) or kopf.login_with_kubeconfig(**context)


def to_run_settings(settings: Settings) -> RunSettings:
    return RunSettings(
        image=settings.trainer_image,
        image_pull_policy=settings.image_pull_policy,
        image_pull_secrets=settings.image_pull_secrets,
        service_account=settings.run_service_account,
        storage_secret=settings.storage_secret or "",
        resources=settings.run_resources,
        work_storage_size=settings.work_storage_size or "",
        work_storage_class=settings.work_storage_class or "",
        work_access_mode=settings.work_access_mode,
        cache_claim=settings.cache_claim,
        cache_beside_output=settings.cache_beside_output,
        status_url=settings.status_url,
    )


def to_serving_settings(settings: Settings) -> ServingSettings:
    return ServingSettings(
        image=settings.model_image,
        image_pull_policy=settings.image_pull_policy,
        image_pull_secrets=settings.image_pull_secrets,
        service_account=settings.model_service_account,
        storage_secret=settings.storage_secret or "",
        resources=settings.model_resources,
        replicas=settings.model_replicas,
        max_replicas=settings.model_max_replicas,
        cpu_target_percent=settings.model_cpu_target_percent,
        pod=settings.model_pod,
        fast_path=settings.model_fast_path,
        traces_endpoint=settings.model_traces_endpoint,
    )
