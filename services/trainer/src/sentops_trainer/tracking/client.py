"""The part of MLflow's REST API that a mirror needs."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import quote

from sentops_trainer.tracking.rest import CALL_SECONDS, MlflowRefusal, Rest

_SLOWEST_BYTES_PER_SECOND = 256 * 1024
_PAGE = 1000
_METRICS, _PARAMS = 1000, 100  # of one log-batch; 100 tags as well
_FILES = "/api/2.0/mlflow-artifacts/artifacts"

Found: TypeAlias = dict[str, Any]  # as MLflow shows it


class Mlflow:
    """An MLflow server. Names and tags that are searched for hold no quotes."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    # Experiments and runs

    async def experiment(self, name: str) -> Found | None:
        found = await self._rest.look("experiments/get-by-name", experiment_name=name)
        return None if found is None else dict(found["experiment"])

    async def create_experiment(self, name: str) -> None:
        """There already is success."""
        await self._create("experiments/create", {"name": name})

    async def restore_experiment(self, experiment: str) -> None:
        await self._rest.call("POST", "experiments/restore", {"experiment_id": experiment})

    async def tag_experiment(self, experiment: str, key: str, value: str) -> None:
        body = {"experiment_id": experiment, "key": key, "value": value}
        await self._rest.call("POST", "experiments/set-experiment-tag", body)

    async def runs(self, experiment: str, tag: str, value: str) -> list[Found]:
        """The runs with this tag, deleted ones too."""
        asked = {
            "experiment_ids": [experiment],
            "filter": f"tags.`{tag}` = '{value}'",
            "run_view_type": "ALL",
            "max_results": _PAGE,
        }
        return list((await self._rest.call("POST", "runs/search", asked)).get("runs", []))

    async def create_run(
        self, experiment: str, name: str, start: int, tags: Mapping[str, str]
    ) -> Found:
        body = {
            "experiment_id": experiment,
            "run_name": name,
            "start_time": start,
            "tags": _pairs(tags),
        }
        return dict((await self._rest.call("POST", "runs/create", body))["run"])

    async def restore_run(self, run: str) -> None:
        await self._rest.call("POST", "runs/restore", {"run_id": run})

    async def log(
        self,
        run: str,
        *,
        params: Mapping[str, str],
        tags: Mapping[str, str],
        metrics: Sequence[Mapping[str, object]],
    ) -> None:
        """In as many requests as it takes. Saying a point of a metric again changes nothing."""
        given, named = _pairs(params), _pairs(tags)
        steps = range(0, max(len(given), len(named)), _PARAMS)
        for start in steps:
            part = {"params": given[start:][:_PARAMS], "tags": named[start:][:_PARAMS]}
            await self._rest.call("POST", "runs/log-batch", {"run_id": run, **part})
        for start in range(0, len(metrics), _METRICS):
            points = list(metrics[start : start + _METRICS])
            await self._rest.call("POST", "runs/log-batch", {"run_id": run, "metrics": points})

    async def update_run(self, run: str, status: str, end: int | None) -> None:
        body = {"run_id": run, "status": status} | ({} if end is None else {"end_time": end})
        await self._rest.call("POST", "runs/update", body)

    # Registered models

    async def create_model(self, name: str) -> None:
        """There already is success."""
        await self._create("registered-models/create", {"name": name})

    async def versions(self, model: str, tag: str, value: str) -> list[Found]:
        """The versions with this tag."""
        asked = {"filter": f"name = '{model}' and tags.`{tag}` = '{value}'"}
        found = await self._rest.call("GET", "model-versions/search", params=asked)
        return list(found.get("model_versions", []))

    async def create_version(
        self, model: str, source: str, run: str, tags: Mapping[str, str]
    ) -> Found:
        body = {"name": model, "source": source, "run_id": run, "tags": _pairs(tags)}
        return dict((await self._rest.call("POST", "model-versions/create", body))["model_version"])

    async def tag_version(self, model: str, number: str, key: str, value: str) -> None:
        body = {"name": model, "version": number, "key": key, "value": value}
        await self._rest.call("POST", "model-versions/set-tag", body)

    async def aliases(self, model: str) -> dict[str, str]:
        """MLflow's number of the version behind each alias; none for a model that is not there."""
        found = await self._rest.look("registered-models/get", name=model)
        listed = [] if found is None else found["registered_model"].get("aliases", [])
        return {one["alias"]: str(one["version"]) for one in listed}

    async def set_alias(self, model: str, alias: str, number: str) -> None:
        body = {"name": model, "alias": alias, "version": number}
        await self._rest.call("POST", "registered-models/alias", body)

    async def remove_alias(self, model: str, alias: str) -> None:
        await self._rest.call("DELETE", "registered-models/alias", {"name": model, "alias": alias})

    # Files, through the server's proxy

    async def files(self, folder: str) -> dict[str, int]:
        """Sizes of the files in a folder of the artefact store, by name."""
        found = await self._rest.send("GET", _FILES, params={"path": folder})
        return {
            one["path"]: int(one.get("file_size", 0))
            for one in found.get("files", [])
            if not one.get("is_dir")
        }

    async def upload(self, path: str, content: AsyncIterator[bytes], size: int) -> None:
        limit = CALL_SECONDS + size / _SLOWEST_BYTES_PER_SECOND
        headers = {"content-length": str(size), "content-type": "application/octet-stream"}
        await self._rest.send(
            "PUT", f"{_FILES}/{quote(path)}", limit=limit, content=content, headers=headers
        )

    async def _create(self, path: str, body: Mapping[str, object]) -> None:
        try:
            await self._rest.call("POST", path, body)
        except MlflowRefusal as refusal:
            if refusal.answer != "RESOURCE_ALREADY_EXISTS":
                raise


def _pairs(named: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in named.items()]
