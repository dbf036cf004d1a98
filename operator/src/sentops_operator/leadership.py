"""One replica converges, the others stand by: a Lease, as Kubernetes' own controllers hold one."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import structlog
from kubernetes.aio.client import ApiClient, V1Lease, V1LeaseSpec, V1ObjectMeta
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

log = structlog.get_logger()

LEASE = "sentops-operator"


@dataclass(frozen=True)
class LeaseTimes:
    """In seconds, as the library has them."""

    lasts: int = 15
    renewed_within: float = 10
    retry: float = 2

    @property
    def call(self) -> float:
        """Longer, and the lease would run out while one answer is waited for."""
        return self.renewed_within * 0.4


class LeadershipLost(Exception):
    """Another replica may converge now: this process must end."""


class _PatientLock(LeaseLock):
    """The library's lock, for which a cut connection or a slow answer is a failed try, not the end."""

    def __init__(
        self, namespace: str, identity: str, client: ApiClient, *, call_seconds: float
    ) -> None:
        super().__init__(LEASE, namespace, identity, client)
        self._call_seconds = call_seconds

    async def get(self, name: str, namespace: str) -> tuple[bool, Any]:
        try:
            async with asyncio.timeout(self._call_seconds):
                found: tuple[bool, Any] = await super().get(name, namespace)
                return found
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return False, ApiException(status=0, reason=repr(error))

    async def create(
        self, name: str, namespace: str, election_record: LeaderElectionRecord
    ) -> bool:
        """The library's own (37.0.1) passes `pretty` as a boolean, which its client refuses."""
        body = V1Lease(metadata=V1ObjectMeta(name=name), spec=self.update_lease(election_record))
        return await self._tried(self._created(namespace, body))

    async def _created(self, namespace: str, body: V1Lease) -> bool:
        try:
            await self.api_instance.create_namespaced_lease(namespace, body)
        except ApiException as error:
            log.warning("lease_not_created", status=error.status)
            return False
        return True

    async def update(self, name: str, namespace: str, updated_record: LeaderElectionRecord) -> bool:
        return await self._tried(super().update(name, namespace, updated_record))

    async def release(self) -> None:
        """Lets the next one lead at once; if it fails, that one waits for the lease to run out."""
        found, record = await self.get(self.name, self.namespace)
        lease = self.lease_reference
        if not found or lease is None or record.holder_identity != self.identity:
            return
        lease.spec = V1LeaseSpec()
        try:
            async with asyncio.timeout(self._call_seconds):
                await self.api_instance.replace_namespaced_lease(self.name, self.namespace, lease)
        except (ApiException, aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("lease_not_released", error=repr(error))

    async def _tried(self, call: Awaitable[bool]) -> bool:
        try:
            async with asyncio.timeout(self._call_seconds):
                return await call
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("lease_not_written", error=repr(error))
            return False


async def while_leading(
    client: ApiClient,
    *,
    namespace: str,
    identity: str,
    work: Callable[[], Awaitable[None]],
    times: LeaseTimes,
) -> None:
    """Waits for the lease, then works until it is lost; raises LeadershipLost then, or what the work raised."""
    won = asyncio.Event()

    async def said() -> None:
        won.set()

    async def nothing() -> None:
        """The end of `run` says that the lease is lost."""

    lock = _PatientLock(namespace, identity, client, call_seconds=times.call)
    election = LeaderElection(
        Config(
            lock,
            lease_duration=times.lasts,
            renew_deadline=times.renewed_within,
            retry_period=times.retry,
            onstarted_leading=said,
            onstopped_leading=nothing,
        )
    )

    async def contend() -> None:
        await election.run()
        raise LeadershipLost(f"{identity} could not renew its lease.")

    async def lead() -> None:
        await won.wait()
        log.info("leading", identity=identity)
        await work()

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(contend())
            group.create_task(lead())
    finally:
        if won.is_set():  # the work has ended by now, whatever ended it
            await lock.release()
