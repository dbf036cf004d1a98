"""One replica converges, the others stand by: a Lease, as Kubernetes' own controllers hold one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import structlog
from kubernetes.aio.client import ApiClient, V1Lease, V1ObjectMeta
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

log = structlog.get_logger()

LEASE = "sentops-operator"
_LEASE_SECONDS = 15
_RENEW_SECONDS = 10
_RETRY_SECONDS = 2


# Longer, and the lease would run out while one answer is waited for.
_CALL_SECONDS = 4


class LeadershipLost(Exception):
    """Another replica may converge now: this process must end."""


class _PatientLock(LeaseLock):
    """The library's lock, for which a cut connection or a slow answer is a failed try, not the end."""

    async def get(self, name: str, namespace: str) -> tuple[bool, Any]:
        try:
            async with asyncio.timeout(_CALL_SECONDS):
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

    async def _tried(self, call: Awaitable[bool]) -> bool:
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                return await call
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("lease_not_written", error=repr(error))
            return False


async def while_leading(
    client: ApiClient, *, namespace: str, identity: str, work: Callable[[], Awaitable[None]]
) -> None:
    """Waits for the lease, then works until it is lost; raises LeadershipLost then, or what the work raised."""
    failure: list[BaseException] = []

    async def lead() -> None:
        log.info("leading", identity=identity)
        try:
            await work()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - handed on below, the library would drop it
            failure.append(error)
            ended.set()

    async def stopped() -> None:
        ended.set()

    ended = asyncio.Event()
    lock = _PatientLock(LEASE, namespace, identity, client)
    election = LeaderElection(
        Config(
            lock,
            lease_duration=_LEASE_SECONDS,
            renew_deadline=_RENEW_SECONDS,
            retry_period=_RETRY_SECONDS,
            onstarted_leading=lead,
            onstopped_leading=stopped,
        )
    )
    running = asyncio.create_task(election.run())
    waiting = asyncio.create_task(ended.wait())
    try:
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        running.cancel()
        waiting.cancel()
    if failure:
        raise failure[0]
    if running.done() and not running.cancelled() and (error := running.exception()) is not None:
        raise error
    raise LeadershipLost(f"{identity} could not renew its lease.")
