"""Looks at the cluster again and again, and lets the tables follow; the custom resources are the truth."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog

from sentops_core.domain.errors import NotFound, PlatformError, Unavailable
from sentops_core.domain.resources import ModelVersion
from sentops_core.kube import Manifest
from sentops_core.kube.agreed import ANALYSIS_ANNOTATION
from sentops_core.store.mirror import Mirror
from sentops_core.store.pool import Pool, transaction
from sentops_trainer.cluster.custom_resources import CustomResources, readable
from sentops_trainer.cluster.evidence import missing_evidence
from sentops_trainer.cluster.mirror import MirrorRound
from sentops_trainer.metrics import MirrorMetrics

log = structlog.get_logger()

# A database or an API server that is away for less costs only delay.
_PATIENCE = timedelta(minutes=2)


class MirrorLoop:
    """Of several replicas one mirrors at a time; the others stand by."""

    def __init__(
        self,
        pool: Pool,
        resources: CustomResources,
        metrics: MirrorMetrics,
        *,
        pause_seconds: float,
    ) -> None:
        self._pool = pool
        self._resources = resources
        self._metrics = metrics
        self._pause_seconds = pause_seconds
        self._wanted = asyncio.Event()
        self._known: dict[str, str] = {}
        self._no_policies = ""
        self._parsed: dict[str, tuple[str, ModelVersion | None]] = {}
        self.patience = _PATIENCE
        self.needed_to_serve = (
            False  # the operator works without us, and who serves is in the table
        )
        self.last_round_at: datetime | None = None
        self.trouble = ""

    def wake(self) -> None:
        self._wanted.set()

    async def run(self) -> None:
        while True:
            outcome = "ok"
            try:
                await self.round()
            except PlatformError as error:
                outcome = self._failed(error.code, str(error))
            except Exception as error:
                outcome = self._failed("internal", repr(error))
                log.exception("mirror_round_failed")
            self._metrics.rounds.labels(outcome).inc()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), self._pause_seconds)
            self._wanted.clear()

    async def round(self) -> None:
        namespace = self._resources.namespace
        async with transaction(self._pool) as connection:
            if not await Mirror(connection).take_turn(namespace):
                await self._stand_by()
                return
            # Listed inside the turn: what another replica wrote before us is not older than this.
            jobs = await self._resources.job_manifests()
            manifests = await self._resources.version_manifests()
            versions = self._read(manifests)
            mirror = MirrorRound(connection, namespace, self._known)
            await mirror.take(jobs, manifests, versions)
            policies = await self._policies()
            if policies is not None:
                await mirror.take_policies(policies)
            await mirror.take_routing(versions)
            evidence = await missing_evidence(connection, versions)
        self._known = mirror.mirrored
        self._done()
        for name, text in evidence.items():
            await self._write_evidence(name, text)

    async def _policies(self) -> list[Manifest] | None:
        """None where the cluster does not know them yet: jobs, versions and routing do not wait for that."""
        try:
            found = await self._resources.policy_manifests()
        except Unavailable as error:
            if str(error) != self._no_policies:
                log.warning("policies_not_mirrored", error=str(error))
            self._no_policies = str(error)
            return None
        self._no_policies = ""
        return found

    async def _stand_by(self) -> None:
        """Another replica mirrors; that the API server answers us too is still worth knowing."""
        await self._resources.version_manifests()
        self._known = {}
        self._done()

    async def _write_evidence(self, name: str, text: str | None) -> None:
        with suppress(NotFound):  # deleted meanwhile
            await self._resources.patch_version(
                name, {"metadata": {"annotations": {ANALYSIS_ANNOTATION: text}}}
            )
            log.info("analysis_written", model_version=name, cleared=text is None)

    def _read(self, manifests: list[Manifest]) -> list[ModelVersion]:
        """Parsed, and found unreadable, once for each state of an object."""
        fresh: dict[str, tuple[str, ModelVersion | None]] = {}
        for manifest in manifests:
            uid, state = manifest["metadata"]["uid"], manifest["metadata"]["resourceVersion"]
            known = self._parsed.get(uid)
            if known is None or known[0] != state:
                known = (state, next(iter(readable(ModelVersion, [manifest])), None))
            fresh[uid] = known
        self._parsed = fresh
        return [version for _, version in fresh.values() if version is not None]

    def _done(self) -> None:
        self.last_round_at, self.trouble = datetime.now(UTC), ""
        self._metrics.last_round.set_to_current_time()

    def _failed(self, code: str, why: str) -> str:
        # A database that comes back may have forgotten something: compare everything again.
        self._known = {}
        if why != self.trouble:  # an outage is one line, not one every two seconds
            log.warning("mirror_round_failed", code=code, error=why)
        self.trouble = why
        return code
