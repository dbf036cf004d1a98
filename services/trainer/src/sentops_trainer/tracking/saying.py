"""Bringing MLflow in line with what it should say. Everything is looked for first, so saying it again changes nothing."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from sentops_core.domain.errors import PlatformError
from sentops_trainer.tracking.client import Found, Mlflow
from sentops_trainer.tracking.files import FOLDER
from sentops_trainer.tracking.wanted import (
    DIGEST_TAG,
    VERSION_TAG,
    Point,
    WantedRun,
    WantedVersion,
)

_ALIASES = ("champion", "candidate")  # what others call their aliases is theirs


class NotYet(PlatformError):
    """What this refers to is not in MLflow yet; its turn comes later."""

    code = "not_yet"


class Saying:
    """`require_turn` raises when another replica has begun to mirror: two would make everything twice."""

    def __init__(self, mlflow: Mlflow, require_turn: Callable[[], Awaitable[None]]) -> None:
        self._mlflow = mlflow
        self._require_turn = require_turn

    async def experiment(self, name: str) -> str:
        """Its id; made, or brought back from the bin, where needed."""
        found = await self._mlflow.experiment(name)
        if found is None:
            await self._mlflow.create_experiment(name)
            found = await self._mlflow.experiment(name)
        if found is None:
            raise NotYet(f"MLflow does not show the experiment {name} that it has just made.")
        number = str(found["experiment_id"])
        if found.get("lifecycle_stage") == "deleted":
            await self._mlflow.restore_experiment(number)
        return number

    async def run(self, experiment: str, wanted: WantedRun) -> Found:
        """The run, as it was found or made."""
        found = await self.find_run(experiment, wanted.identity)
        if found is None:
            await self._require_turn()
            found = await self._mlflow.create_run(
                experiment, wanted.name, wanted.start, wanted.identity | wanted.tags
            )
        elif found["info"].get("lifecycle_stage") == "deleted":
            await self._mlflow.restore_run(found["info"]["run_id"])
        data, info = found.get("data", {}), found["info"]
        there = _named(data.get("params", ()))
        await self._mlflow.log(
            info["run_id"],
            # Parameters never change in MLflow: what an older release of ours said stays said.
            params={key: value for key, value in wanted.params.items() if key not in there},
            tags=_changed(wanted.tags, _named(data.get("tags", ()))),
            metrics=[_metric(point) for point in _new(wanted.points, data.get("metrics", ()))],
        )
        told_end = int(info.get("end_time") or 0) or None
        if info["status"] != wanted.status or (wanted.end or told_end) != told_end:
            await self._mlflow.update_run(info["run_id"], wanted.status, wanted.end)
        return found

    async def find_run(self, experiment: str, identity: Mapping[str, str]) -> Found | None:
        tag, value = next(iter(identity.items()))
        for run in await self._mlflow.runs(experiment, tag, value):
            tags = _named(run.get("data", {}).get("tags", ()))
            if all(tags.get(key) == wanted for key, wanted in identity.items()):
                return run
        return None

    async def version(self, wanted: WantedVersion, run: Found, files: str) -> None:
        """`files` says how much of it is stored with the run."""
        tags = wanted.tags | {"sentops.dev/files": files}
        await self._mlflow.create_model(wanted.model)
        found = await self._find_version(wanted.model, wanted.identity)
        if found is None:
            await self._require_turn()
            source = f"{run['info']['artifact_uri']}/{FOLDER}"
            await self._mlflow.create_version(
                wanted.model, source, run["info"]["run_id"], wanted.identity | tags
            )
            return
        for key, value in _changed(tags, _named(found.get("tags", ()))).items():
            await self._mlflow.tag_version(wanted.model, found["version"], key, value)

    async def aliases(self, model: str, wanted: Mapping[str, Mapping[str, str]]) -> list[str]:
        """`wanted` gives the identity of each alias's version; gives the names of those that are not there."""
        there, missing = await self._mlflow.aliases(model), []
        for alias in _ALIASES:
            if alias not in wanted:
                if alias in there:
                    await self._mlflow.remove_alias(model, alias)
                continue
            found = await self._find_version(model, wanted[alias])
            if found is None:
                missing.append(wanted[alias][VERSION_TAG])
            elif there.get(alias) != found["version"]:
                await self._mlflow.set_alias(model, alias, found["version"])
        return missing

    async def _find_version(self, model: str, identity: Mapping[str, str]) -> Found | None:
        for version in await self._mlflow.versions(model, VERSION_TAG, identity[VERSION_TAG]):
            if _named(version.get("tags", ())).get(DIGEST_TAG) == identity[DIGEST_TAG]:
                return version
        return None


def _named(pairs: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {pair["key"]: pair.get("value", "") for pair in pairs}


def _changed(wanted: Mapping[str, str], there: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in wanted.items() if there.get(key) != value}


def _new(points: Iterable[Point], there: Iterable[Mapping[str, Any]]) -> list[Point]:
    """Those after the last one that MLflow has of the same metric: they are said in order."""
    last = {one["key"]: (int(one.get("step", 0)), int(one["timestamp"])) for one in there}
    return [point for point in points if (point.step, point.at) > last.get(point.key, (-1, 0))]


def _metric(point: Point) -> dict[str, object]:
    return {"key": point.key, "value": point.value, "timestamp": point.at, "step": point.step}
