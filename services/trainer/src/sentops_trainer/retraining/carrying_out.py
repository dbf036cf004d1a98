"""A decision carried out: a dataset version of what people said, and a training like any other."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog

from sentops_core.datasets.building import BuildRequest, Built, build_from_feedback
from sentops_core.domain.errors import Conflict, InvalidInput, PlatformError
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import DatasetRef, RetrainPolicy, RetrainStart, TrainingJob
from sentops_core.domain.retrain import POLICY_LABEL
from sentops_core.language import language_detector
from sentops_core.store.datasets import Datasets, VersionRow
from sentops_core.store.pool import Pool, open_pool, transaction
from sentops_trainer.control_plane import OpenControlPlane
from sentops_trainer.retraining.substrate import actor_of
from sentops_trainer.retraining.template import training_job

log = structlog.get_logger()

_SOON = timedelta(minutes=1)  # what is away comes back
_LATER = timedelta(hours=1)  # people have to say or change something first
_CLOCKS_DIFFER = timedelta(minutes=5)


class NotStarted(Exception):
    """`for_good`: it has to be decided anew; otherwise it is gone on with."""

    def __init__(self, why: str, reason: Reason, *, for_good: bool) -> None:
        super().__init__(why)
        self.reason = reason
        self.for_good = for_good
        self.retry_after = _LATER if for_good else _SOON


class BuildDataset(Protocol):
    async def __call__(self, request: BuildRequest) -> Built: ...


@dataclass(frozen=True)
class CarryingOut:
    """Safe to be tried again, and at the same time by somebody else: the training's name is its identity."""

    pool: Pool
    open_control_plane: OpenControlPlane
    store_uri: str
    build: BuildDataset

    async def start(self, policy: RetrainPolicy, start: RetrainStart) -> None:
        """NotStarted says why nothing was."""
        await self._require_template_fits(policy, start)
        dataset = await self._dataset(policy, start)
        try:
            job = self._job(policy, start, dataset)
            async with self.open_control_plane() as control_plane:
                control_plane.require_accepted(job.spec)
                await control_plane.create_job(job, actor=actor_of(policy))
        except Conflict as error:
            await self._require_ours(policy, start, error)
        except InvalidInput as error:
            raise _not_started(error, for_good=True) from error
        except PlatformError as error:
            raise _not_started(error, for_good=False) from error
        log.info(
            "retraining_started",
            policy=policy.metadata.name,
            training_job=start.name,
            dataset_version=dataset.name,
        )

    async def _require_template_fits(self, policy: RetrainPolicy, start: RetrainStart) -> None:
        """Before a dataset is built: the labels that wait for it are then still new."""
        async with transaction(self.pool) as connection:
            newest = await Datasets(connection).latest()
        if newest is None:
            return
        try:
            job = self._job(policy, start, newest)
            async with self.open_control_plane() as control_plane:
                control_plane.require_accepted(job.spec)
        except InvalidInput as error:
            raise _not_started(error, for_good=True) from error

    async def _dataset(self, policy: RetrainPolicy, start: RetrainStart) -> VersionRow:
        actor, needs_none = actor_of(policy), policy.spec.guards.min_new_labels == 0
        try:
            built = await self.build(BuildRequest(store_uri=self.store_uri, actor=actor))
        except InvalidInput as error:
            async with transaction(self.pool) as connection:
                newest = await Datasets(connection).latest()
            if needs_none and newest is not None and error.saying == "no_feedback":
                return newest
            raise _not_built(error, for_good=True) from error
        except PlatformError as error:  # also Conflict: somebody else built at the same time
            raise _not_built(error, for_good=False) from error
        except (
            Exception
        ) as error:  # a full disk, a defect: said on the status, and not tried at every look
            log.exception("retraining_dataset_not_built", policy=policy.metadata.name)
            why = f"The dataset could not be built: {error!r}"
            raise NotStarted(why, Reason.DATASET_NOT_BUILT, for_good=False) from error
        version = built.version
        begun_before = (
            version.created_by == actor and version.created_at >= start.at - _CLOCKS_DIFFER
        )
        if built.created or begun_before or needs_none:
            return version
        raise NotStarted(
            f"What people said adds nothing to {version.name}: {built.report.left_out.count} rows were left out.",
            Reason.DATASET_NOT_BUILT,
            for_good=True,
        )

    def _job(self, policy: RetrainPolicy, start: RetrainStart, dataset: VersionRow) -> TrainingJob:
        reference = DatasetRef(
            storage_uri=dataset.storage_uri,
            content_hash=dataset.content_hash,
            labels=tuple(dataset.labels),
        )
        return training_job(policy, reference, start=start, store_uri=self.store_uri)

    async def _require_ours(
        self, policy: RetrainPolicy, start: RetrainStart, error: Conflict
    ) -> None:
        """There already: started before a crash, or by another replica."""
        async with self.open_control_plane() as control_plane:
            job = await control_plane.job(start.name)
        if job.metadata.labels.get(POLICY_LABEL) != policy.metadata.name:
            raise _not_started(error, for_good=True) from error


def _not_built(error: PlatformError, *, for_good: bool) -> NotStarted:
    return NotStarted(
        f"The dataset could not be built: {error}", Reason.DATASET_NOT_BUILT, for_good=for_good
    )


def _not_started(error: PlatformError, *, for_good: bool) -> NotStarted:
    return NotStarted(
        f"The training could not be started: {error}",
        Reason.TRAINING_NOT_STARTED,
        for_good=for_good,
    )


def building_apart(database_url: str) -> BuildDataset:
    """Builds in a thread with a loop and connections of its own: who asks who serves does not wait for it."""

    async def on_its_own(request: BuildRequest) -> Built:
        async with await open_pool(
            database_url, min_size=0, max_size=2, application_name="trainer retraining"
        ) as pool:
            return await build_from_feedback(pool, request, detect_language=language_detector())

    async def build(request: BuildRequest) -> Built:
        return await asyncio.to_thread(lambda: asyncio.run(on_its_own(request)))

    return build
