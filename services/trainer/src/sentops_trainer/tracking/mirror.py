"""One round of the mirror: what changed in our tables, said to MLflow and remembered."""

import time
from collections import Counter
from dataclasses import dataclass
from typing import TypeAlias
from uuid import uuid4

import structlog

from sentops_core.domain.errors import PlatformError
from sentops_core.store.mlflow_mirror import Behind, Kind, MlflowMirror
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.pool import Connection
from sentops_core.store.routing import RoutingTable
from sentops_core.store.training_jobs import TrainingEvent, TrainingJobs
from sentops_trainer.tracking.client import Found, Mlflow
from sentops_trainer.tracking.files import Files, say_files
from sentops_trainer.tracking.rest import MlflowAway, MlflowRefusal
from sentops_trainer.tracking.saying import NotYet, Saying
from sentops_trainer.tracking.wanted import (
    fingerprint,
    run_identity,
    run_of_version,
    version_identity,
    wanted_aliases,
    wanted_runs,
    wanted_version,
)

log = structlog.get_logger()

_MARK = "sentops.dev/mirror-"
_EVENTS = 500  # of one page
_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 600.0  # before a thing that failed is tried again
_TOO_MANY = 3  # failures in a row are the server's
# A document or an answer that is not what it should be: the others are said all the same.
_ODD = (LookupError, TypeError, ValueError)


@dataclass
class Setback:
    """Of one thing: what went wrong, and when it is tried again (`time.monotonic`)."""

    why: str
    pause: float
    until: float


Setbacks: TypeAlias = dict[tuple[Kind, str], Setback]


class Round:
    """Over one connection, whose turn it is. `setbacks` is remembered from round to round by the caller."""

    def __init__(
        self, connection: Connection, mlflow: Mlflow, files: Files, setbacks: Setbacks
    ) -> None:
        self._table = MlflowMirror(connection)
        self._jobs = TrainingJobs(connection)
        self._versions = ModelVersions(connection)
        self._routing = RoutingTable(connection)
        self._mlflow = mlflow
        self._files = files
        self._setbacks = setbacks
        self._saying = Saying(mlflow, self._require_turn)
        self._experiments: dict[str, str] = {}  # ids, by name, of those that were written to

    async def go(self) -> None:
        """Say all that is due. MlflowAway ends it early; one thing that fails does not hold up the others."""
        try:
            await self._begin_anew_if_mlflow_did()
        except MlflowRefusal as error:
            raise MlflowAway("failing", f"Look at MLflow's log. {error}") from error
        failures = 0
        for one in await self._table.behind():
            key = (one.kind, one.name)
            if key in self._setbacks and time.monotonic() < self._setbacks[key].until:
                continue
            try:
                await self._say(one)
                self._setbacks.pop(key, None)
                failures = 0
            except MlflowAway:
                raise
            except NotYet:
                continue
            except (PlatformError, *_ODD) as error:
                self._set_back(key, error)
                failures += 1
                if failures == _TOO_MANY:
                    message = f"MLflow fails again and again; look at its log. Last: {error}"
                    raise MlflowAway("failing", message) from error
        for name in self._experiments:
            await self._mark(name)

    async def behind(self) -> Counter[Kind]:
        """How many things of each kind MLflow does not know as they are."""
        return Counter(one.kind for one in await self._table.behind())

    async def _say(self, one: Behind) -> None:
        match one.kind:
            case Kind.TRAINING_JOB:
                await self._say_job(one)
            case Kind.MODEL_VERSION:
                await self._say_version(one)
            case Kind.ALIASES:
                await self._say_aliases(one)
            case Kind.EXPERIMENT:
                raise ValueError("experiments are made with what is in them")

    async def _say_job(self, one: Behind) -> None:
        row = await self._jobs.get(one.name)
        runs = wanted_runs(row, await self._events(one.name))
        said = fingerprint(*runs)
        if said != one.said and runs:
            experiment = await self._experiment(row.job.spec.model_name)
            for run in runs:
                await self._saying.run(experiment, run)
        await self._table.said(one.kind, one.name, seen=row.updated_at, what=said)

    async def _events(self, name: str) -> list[TrainingEvent]:
        found: list[TrainingEvent] = []
        while page := await self._jobs.events(
            name, after=found[-1].id if found else 0, limit=_EVENTS
        ):
            found += page
        return found

    async def _say_version(self, one: Behind) -> None:
        row = await self._versions.get(one.name)
        wanted, alone = wanted_version(row), run_of_version(row)
        said = fingerprint(wanted, alone)
        if said != one.said:
            experiment = await self._experiment(wanted.model)
            if row.training_job is None:
                run = await self._saying.run(experiment, alone)
            else:
                run = await self._run_of_job(experiment, row.training_job)
            artifact, place = row.version.spec.artifact, run["info"]["artifact_uri"]
            files = await say_files(self._mlflow, self._files, artifact, place)
            await self._saying.version(wanted, run, files)
        await self._table.said(one.kind, one.name, seen=row.updated_at, what=said)

    async def _run_of_job(self, experiment: str, name: str) -> Found:
        """The attempt that a version came from: the job's last one."""
        job = (await self._jobs.get(name)).job
        identity = run_identity(job, job.status.attempt)
        run = await self._saying.find_run(experiment, identity)
        if run is None:
            await self._table.forget(Kind.TRAINING_JOB, name)
            raise NotYet(f"The run of {name} is not in MLflow yet.")
        return run

    async def _say_aliases(self, one: Behind) -> None:
        moved_at = await self._table.routed_at(one.name)
        names = wanted_aliases(await self._routing.get(one.name))
        said = fingerprint(names)
        if said != one.said:
            await self._experiment(one.name)
            wanted = {}
            for alias, name in names.items():
                wanted[alias] = version_identity((await self._versions.get(name)).version)
            if missing := await self._saying.aliases(one.name, wanted):
                for name in missing:
                    await self._table.forget(Kind.MODEL_VERSION, name)
                raise NotYet(f"{', '.join(missing)} is not in MLflow yet.")
        if moved_at is not None:
            await self._table.said(one.kind, one.name, seen=moved_at, what=said)

    # A mark in each experiment tells whether this MLflow is the one that was told, and no older copy of it.

    async def _begin_anew_if_mlflow_did(self) -> None:
        marks = await self._table.experiments()
        if not marks:
            await self._mlflow.experiment("Default")  # whether it lets us in is worth knowing early
        for name, mark in marks.items():
            key, value = mark.split(" ", 1)
            found = await self._mlflow.experiment(name)
            tags = {} if found is None else {t["key"]: t["value"] for t in found.get("tags", ())}
            there = found is not None and found.get("lifecycle_stage") != "deleted"
            other_files = not value.endswith(f" {self._files.value}")
            if not there or other_files or tags.get(f"{_MARK}{key}") != value:
                log.info("mlflow_mirror_begins_anew", experiment=name, experiment_is_there=there)
                await self._table.forget_all()
                self._setbacks.clear()
                return

    async def _experiment(self, name: str) -> str:
        if name not in self._experiments:
            self._experiments[name] = await self._saying.experiment(name)
            if name not in await self._table.experiments():
                await self._mark(name)
        return self._experiments[name]

    async def _mark(self, name: str) -> None:
        """A number that goes up with whatever is said: an older copy of MLflow has a lower one."""
        mark = (await self._table.experiments()).get(name, f"{uuid4().hex[:12]} 0 -")
        key, number, _ = mark.split(" ")
        value = f"{int(number) + 1} {self._files.value}"
        await self._mlflow.tag_experiment(self._experiments[name], f"{_MARK}{key}", value)
        await self._table.set_experiment(name, f"{key} {value}")

    def _set_back(self, key: tuple[Kind, str], error: Exception) -> None:
        before = self._setbacks.get(key)
        pause = _FIRST_PAUSE if before is None else min(before.pause * 2, _LONGEST_PAUSE)
        why = str(error) if isinstance(error, PlatformError) else repr(error)
        if before is None or before.why != why:
            log.warning("not_in_mlflow", kind=key[0].value, name=key[1], why=why)
        self._setbacks[key] = Setback(why, pause, time.monotonic() + pause)

    async def _require_turn(self) -> None:
        if not await self._table.still_mine():
            raise MlflowAway("turn_lost", "Another replica mirrors now.")
