"""The mirror against a real MLflow server: everything is there, once, however often and whenever things break."""

import asyncio
import hashlib
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from sentops_core.artifacts import publish_folder
from sentops_core.domain.resources import (
    GateResult,
    Metadata,
    ModelVersion,
    ModelVersionPhase,
    ModelVersionStatus,
    TrainingJobPhase,
    TrainingJobStatus,
    Variant,
    Verdict,
)
from sentops_core.store.mlflow_mirror import MlflowMirror
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.pool import Pool, open_pool
from sentops_core.store.routing import RoutingTable
from sentops_core.store.training_jobs import TrainingJobs
from sentops_trainer.metrics import MlflowFigures
from sentops_trainer.tracking import mirror as mirror_module
from sentops_trainer.tracking.client import Mlflow
from sentops_trainer.tracking.files import Files
from sentops_trainer.tracking.loop import TrackingLoop
from sentops_trainer.tracking.rest import MlflowAway, Rest, open_http
from tests.support.artifacts import build_artifact
from tests.support.builders import NOW, a_digest, a_training_job, an_evaluation
from tests.support.eventually import eventually
from tests.support.mlflow_server import MlflowServer

pytestmark = [pytest.mark.pg, pytest.mark.mlflow, pytest.mark.timeout(300)]


@dataclass
class Platform:
    """Our tables, and mirrors that read them; the model has a name of this test's own."""

    pool: Pool
    database_url: str
    server: MlflowServer
    folder: Path
    model: str = field(default_factory=lambda: f"m{uuid.uuid4().hex[:10]}")
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def mirror(
        self, *, url: str | None = None, files: Files = Files.ALL, seconds: float = 0.05
    ) -> TrackingLoop:
        pool = await open_pool(self.database_url, min_size=0, max_size=1)
        self.stack.push_async_callback(pool.close)
        http = await self.stack.enter_async_context(open_http(url or self.server.url))
        return TrackingLoop(pool, Mlflow(Rest(http)), MlflowFigures(), files=files, seconds=seconds)

    async def running(self, loop: TrackingLoop) -> None:
        task = asyncio.create_task(loop.run())
        self.stack.callback(task.cancel)

    # Our side

    async def job(self, name: str, *, message: str = "Attempt 1 is running.") -> None:
        """A run under way, with two reports of progress."""
        status = TrainingJobStatus(phase=TrainingJobPhase.RUNNING, attempt=1, start_time=NOW)
        job = a_training_job(name, status, model_name=self.model)
        job = job.model_copy(update={"metadata": Metadata(name=name, uid=str(uuid.uuid4()))})
        async with self.pool.acquire() as connection:
            jobs = TrainingJobs(connection)
            await jobs.create(job, created_by="<b>ada</b>")
            await jobs.add_event(name, "RunStarted", message)
            for percent, loss in ((10, "0.9"), (60, "nan")):
                metrics = [{"name": "loss", "value": loss}, {"name": "<img src=x>", "value": "1"}]
                told = {"progressPercentage": percent, "metrics": metrics}
                await jobs.add_event(name, "Progress", "x", told)
            await jobs.save_status(name, status)

    async def finish(self, name: str, *, reason: str = "Better.") -> None:
        gate = GateResult(verdict=Verdict.PASS, reasons=(reason,), samples=600)
        trained = {
            "type": "Trained",
            "status": "True",
            "reason": "RunFinished",
            "message": "Done.",
            "lastTransitionTime": NOW,
        }
        status = TrainingJobStatus.model_validate(
            {
                "phase": "Succeeded",
                "attempt": 1,
                "startTime": NOW,
                "completionTime": NOW,
                "evaluation": an_evaluation(),
                "gateResult": gate,
                "conditions": [trained],
            }
        )
        async with self.pool.acquire() as connection:
            await TrainingJobs(connection).save_status(name, status)

    async def version(self, number: int, *, job: str | None = None, size: int = 1) -> ModelVersion:
        built = build_artifact(self.folder / f"built-{number}", strength=2 + number / 10)
        published = publish_folder(built.folder, (self.folder / "store").as_uri())
        version = ModelVersion.model_validate(
            {
                "metadata": {"name": f"{self.model}-v{number}"},
                "spec": {
                    "modelName": self.model,
                    "version": number,
                    "artifact": published.model_dump(),
                    "datasetHash": a_digest("d"),
                    **({"trainingJobRef": {"name": job}} if job else {}),
                },
            }
        )
        async with self.pool.acquire() as connection:
            await ModelVersions(connection).create(version, created_by="ada", training_job=job)
        return version

    async def phase(self, number: int, phase: ModelVersionPhase) -> None:
        async with self.pool.acquire() as connection:
            status = ModelVersionStatus(phase=phase)
            await ModelVersions(connection).save_status(f"{self.model}-v{number}", status)

    async def route(self, champion: int, candidate: int | None = None) -> None:
        names = {"champion": champion} | ({"candidate": candidate} if candidate else {})
        variants = [
            Variant(
                name=name,
                url="http://model",
                model_version=f"{self.model}-v{number}",
                digest=a_digest(),
                weight=50,
            )
            for name, number in names.items()
        ]
        async with self.pool.acquire() as connection:
            await RoutingTable(connection).save(
                self.model, variants, champion=f"{self.model}-v{champion}", previous_champion=None
            )

    # MLflow's side

    def runs(self) -> list[dict[str, Any]]:
        listed = self.server.call("experiments/search", max_results="1000")["experiments"]
        numbers = [one["experiment_id"] for one in listed if one["name"] == self.model]
        if not numbers:
            return []
        return self.server.call("runs/search", {"experiment_ids": numbers}).get("runs", [])

    def versions(self) -> dict[str, dict[str, Any]]:
        """By the name that we gave them; each is there once."""
        found = self.server.call("model-versions/search", filter=f"name = '{self.model}'")
        named = [
            (tags(one)["sentops.dev/model-version"], one) for one in found.get("model_versions", [])
        ]
        assert len(dict(named)) == len(named)
        return dict(named)

    def aliases(self) -> dict[str, str]:
        """Our names of versions, by alias."""
        model = self.server.call("registered-models/get", name=self.model)["registered_model"]
        ours = {one["version"]: name for name, one in self.versions().items()}
        return {one["alias"]: ours[one["version"]] for one in model.get("aliases", [])}

    def everything(self) -> tuple[int, set[str]]:
        return len(self.runs()), set(self.versions())


def tags(found: dict[str, Any]) -> dict[str, str]:
    return {one["key"]: one["value"] for one in found.get("tags") or found["data"]["tags"]}


def params(run: dict[str, Any]) -> dict[str, str]:
    return {one["key"]: one["value"] for one in run["data"]["params"]}


def metrics(run: dict[str, Any]) -> dict[str, float]:
    return {one["key"]: one["value"] for one in run["data"]["metrics"]}


@pytest.fixture
async def platform(
    pool: Pool, database_url: str, mlflow: MlflowServer, tmp_path: Path
) -> AsyncIterator[Platform]:
    made = Platform(pool, database_url, mlflow, tmp_path)
    async with made.stack:
        yield made


async def test_a_job_and_its_version_are_there_with_all_numbers_and_every_byte(
    platform: Platform,
) -> None:
    mirror = await platform.mirror()
    await platform.job("first")
    await mirror.round()
    (run,) = platform.runs()
    assert run["info"]["status"] == "RUNNING"
    assert metrics(run)["training.progress"] == 60
    assert metrics(run)["training.loss"] == 0.9, "a value that is no number is absent"
    assert metrics(run)["training._img src_x_"] == 1

    await platform.finish("first")
    version = await platform.version(1, job="first")
    await platform.route(1)
    await mirror.round()

    (run,) = platform.runs()
    assert run["info"]["status"] == "FINISHED"
    assert run["info"]["run_name"] == "first-1"
    assert run["info"]["end_time"] == int(NOW.timestamp() * 1000)
    assert params(run) | {
        "method": "FineTune",
        "base": "named://english-small",
        "dataset_hash": a_digest("d"),
        "learning_rate": "0.0001",
        "seed": "42",
    } == params(run)
    numbers = metrics(run)
    assert numbers["macro_f1"] == 0.75
    assert numbers["recall.negative"] == 0.7
    assert numbers["calibration_error"] == 0.04
    assert "gate.p_value" not in numbers
    assert tags(run)["mlflow.user"] == "<b>ada</b>"
    assert tags(run)["sentops.dev/verdict"] == "Pass"

    found = platform.versions()[f"{platform.model}-v1"]
    assert found["run_id"] == run["info"]["run_id"]
    assert tags(found)["sentops.dev/digest"] == version.spec.artifact.digest
    assert tags(found)["sentops.dev/files"] == "all"
    assert platform.aliases() == {"champion": f"{platform.model}-v1"}
    manifest = platform.server.download(found["source"], "manifest.json")
    assert "sha256:" + hashlib.sha256(manifest).hexdigest() == version.spec.artifact.digest
    for file in json.loads(manifest)["files"]:
        content = platform.server.download(found["source"], file["path"])
        assert hashlib.sha256(content).hexdigest() == file["sha256"], file["path"]


async def test_saying_everything_again_changes_nothing(platform: Platform) -> None:
    await platform.job("first")
    await platform.finish("first")
    await platform.version(1, job="first")
    await platform.version(2)
    await platform.route(1, candidate=2)
    await (await platform.mirror()).round()
    before = platform.runs(), platform.versions()

    async with platform.pool.acquire() as connection:
        await MlflowMirror(connection).forget_all()
    await (await platform.mirror()).round()

    assert (platform.runs(), platform.versions()) == before
    assert len(before[0]) == 2, "a version that no job made has a run of its own"
    (run, *_) = [one for one in before[0] if one["info"]["run_name"] == "first-1"]
    history = platform.server.call(
        "metrics/get-history", run_id=run["info"]["run_id"], metric_key="training.progress"
    )
    assert [one["value"] for one in history["metrics"]] == [10, 60]


async def test_what_has_not_changed_is_not_said_again(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    await platform.job("first")
    mirror = await platform.mirror()
    await mirror.round()
    async with platform.pool.acquire() as connection:
        await connection.execute("UPDATE training_jobs SET updated_at = clock_timestamp()")
    asked: list[str] = []
    send = Rest.send

    async def noted(self: Rest, method: str, path: str, **options: Any) -> Any:
        asked.append(f"{method} {path.rpartition('mlflow/')[2]}")
        return await send(self, method, path, **options)

    monkeypatch.setattr(Rest, "send", noted)
    await mirror.round()
    assert asked == ["GET experiments/get-by-name"], "one look whether MLflow is still the same"
    async with platform.pool.acquire() as connection:
        assert await MlflowMirror(connection).behind() == []


async def test_aliases_follow_a_promotion_and_a_rollback(platform: Platform) -> None:
    mirror = await platform.mirror(files=Files.NONE)
    for number in (1, 2):
        await platform.version(number)
    first, second = (f"{platform.model}-v{number}" for number in (1, 2))
    for routed, wanted in [
        ((1,), {"champion": first}),
        ((1, 2), {"champion": first, "candidate": second}),
        ((2,), {"champion": second}),
        ((1,), {"champion": first}),
    ]:
        await platform.route(*routed)
        await mirror.round()
        assert platform.aliases() == wanted
    await platform.phase(2, ModelVersionPhase.ROLLED_BACK)
    await mirror.round()
    assert tags(platform.versions()[second])["sentops.dev/phase"] == "RolledBack"


async def test_an_alias_that_somebody_else_gave_is_theirs(platform: Platform) -> None:
    await platform.version(1)
    await platform.route(1)
    mirror = await platform.mirror(files=Files.NONE)
    await mirror.round()
    theirs = {"name": platform.model, "alias": "favourite", "version": "1"}
    platform.server.call("registered-models/alias", theirs)
    await platform.version(2)
    await platform.route(2)
    await mirror.round()
    names = {"champion": f"{platform.model}-v2", "favourite": f"{platform.model}-v1"}
    assert platform.aliases() == names


@pytest.mark.parametrize(
    ("files", "there"),
    [(Files.CARD, {"card.md", "manifest.json"}), (Files.NONE, set())],
)
async def test_fewer_files_when_fewer_are_wanted_and_the_rest_when_they_are(
    platform: Platform, files: Files, there: set[str]
) -> None:
    await platform.version(1)
    await (await platform.mirror(files=files)).round()
    (run,) = platform.runs()

    def stored() -> set[str]:
        listed = platform.server.call("artifacts/list", run_id=run["info"]["run_id"], path="model")
        return {one["path"].removeprefix("model/") for one in listed.get("files", [])}

    assert stored() == there
    await (await platform.mirror(files=Files.ALL)).round()
    assert stored() >= {"card.md", "manifest.json", "model.onnx", "tokenizer.json"}
    (version,) = platform.versions().values()
    assert tags(version)["sentops.dev/files"] == "all"


async def test_a_version_whose_artefact_is_gone_is_there_without_files(platform: Platform) -> None:
    version = await platform.version(1)
    (Path(version.spec.artifact.storage_uri.removeprefix("file://")) / "model.onnx").unlink()
    mirror = await platform.mirror()
    await mirror.round()
    (found,) = platform.versions().values()
    assert "model.onnx is listed but not in the store" in tags(found)["sentops.dev/files"]
    assert set((mirror._figures.behind or {}).values()) == {0}


@pytest.mark.parametrize("lost_after", range(1, 40, 3))
async def test_a_crash_between_two_requests_makes_nothing_twice(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, lost_after: int
) -> None:
    """The request is carried out, its answer is lost, and the program dies with it."""
    await platform.job("first")
    await platform.finish("first")
    await platform.version(1, job="first")
    await platform.version(2)
    await platform.route(1, candidate=2)
    send, count = Rest.send, 0

    class Crash(BaseException):
        pass

    async def crashing(self: Rest, *asked: Any, **options: Any) -> Any:
        nonlocal count
        answer = await send(self, *asked, **options)
        count += 1
        if count == lost_after:
            raise Crash
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(Rest, "send", crashing)
        mirror = await platform.mirror()
        with suppress(Crash):
            await mirror.round()
    after = await platform.mirror()
    await after.round()
    assert set((after._figures.behind or {}).values()) == {0}
    assert len(platform.runs()) == 2
    assert set(platform.versions()) == {f"{platform.model}-v1", f"{platform.model}-v2"}
    assert set(platform.aliases()) == {"champion", "candidate"}


async def test_two_mirrors_at_once_make_nothing_twice(platform: Platform) -> None:
    mirrors = [await platform.mirror() for _ in range(3)]
    for number in range(1, 4):
        await platform.version(number)
    await asyncio.gather(*(mirror.round() for mirror in mirrors))
    assert len(platform.versions()) == 3
    assert len(platform.runs()) == 3
    counting = [mirror for mirror in mirrors if mirror._figures.behind is not None]
    assert len(counting) == 1, "the others stand by, and say nothing"


async def test_a_turn_that_was_lost_makes_nothing(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    await platform.version(1)

    real = MlflowMirror.still_mine

    async def asked(self: MlflowMirror) -> bool:
        await self._connection.execute("SELECT pg_advisory_unlock_all()")
        return await real(self)

    monkeypatch.setattr(MlflowMirror, "still_mine", asked)
    with pytest.raises(MlflowAway, match="Another replica"):
        await (await platform.mirror()).round()
    assert platform.runs() == []


async def test_a_server_that_was_away_is_brought_up_to_date_and_said_twice(
    platform: Platform,
) -> None:
    await platform.version(1)
    await platform.route(1)
    mirror = await platform.mirror()
    with capture_logs() as logs:
        await platform.running(mirror)
        await eventually(lambda: mirror._figures.succeeded_at)
        platform.server.stop()
        await platform.job("while-away")
        await platform.version(2)
        await platform.route(2)

        def behind() -> bool:
            return mirror._figures.behind == {"training_job": 1, "model_version": 1, "aliases": 1}

        await eventually(behind)
        went_at = mirror._figures.succeeded_at
        platform.server.start()

        async def caught_up() -> bool:
            return set((mirror._figures.behind or {}).values()) == {0}

        await eventually(caught_up, within=60)
        await eventually(lambda: mirror._figures.succeeded_at != went_at)
    assert platform.everything() == (3, {f"{platform.model}-v1", f"{platform.model}-v2"})
    assert platform.aliases() == {"champion": f"{platform.model}-v2"}
    said = [line["event"] for line in logs if line["event"].startswith("mlflow_mirror")]
    assert said == ["mlflow_mirror_waits", "mlflow_mirror_goes_on"]


async def test_an_emptied_server_is_filled_again(platform: Platform) -> None:
    await platform.job("first")
    await platform.finish("first")
    await platform.version(1, job="first")
    await platform.route(1)
    mirror = await platform.mirror()
    await mirror.round()
    await asyncio.to_thread(platform.server.empty)
    assert platform.runs() == []
    await mirror.round()
    assert platform.everything() == (1, {f"{platform.model}-v1"})
    assert platform.aliases() == {"champion": f"{platform.model}-v1"}
    (version,) = platform.versions().values()
    assert platform.server.download(version["source"], "card.md") == b"# A tiny model\n"


async def test_what_people_delete_in_mlflow_comes_back_with_the_next_change(
    platform: Platform,
) -> None:
    await platform.job("first")
    await platform.version(1, job="first")
    await platform.route(1)
    mirror = await platform.mirror(files=Files.NONE)
    await mirror.round()
    (run,) = platform.runs()
    platform.server.call("runs/delete", {"run_id": run["info"]["run_id"]})
    platform.server.call("registered-models/delete", {"name": platform.model}, method="DELETE")
    await platform.finish("first")
    await platform.version(2, job="first")
    await platform.route(1, candidate=2)
    await mirror.round()  # the alias finds no version 1, which is therefore said again
    await mirror.round()
    assert [one["info"]["run_id"] for one in platform.runs()] == [run["info"]["run_id"]]
    assert set(platform.versions()) == {f"{platform.model}-v1", f"{platform.model}-v2"}
    assert set(platform.aliases()) == {"champion", "candidate"}

    experiment = run["info"]["experiment_id"]
    platform.server.call("experiments/delete", {"experiment_id": experiment})
    await mirror.round()
    assert [one["info"]["run_id"] for one in platform.runs()] == [run["info"]["run_id"]]


async def test_texts_that_are_too_long_are_cut_and_many_points_are_said_in_parts(
    platform: Platform,
) -> None:
    await platform.job("first")
    async with platform.pool.acquire() as connection:
        jobs = TrainingJobs(connection)
        for percent in range(700):
            told = {
                "progressPercentage": percent % 100,
                "metrics": [{"name": "loss", "value": "1"}],
            }
            await jobs.add_event("first", "Progress", "x", told)
    await platform.finish("first", reason="<script>alert('ciao')</script>" * 1000)
    await (await platform.mirror()).round()
    (run,) = platform.runs()
    assert len(tags(run)["sentops.dev/gate-reasons"]) == 5000
    history = platform.server.call(
        "metrics/get-history", run_id=run["info"]["run_id"], metric_key="training.progress"
    )
    assert len(history["metrics"]) == 702


async def test_a_name_that_we_are_not_to_call_it_by_is_explained_once(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    await platform.version(1)
    mirror = await platform.mirror(url=platform.server.url.replace("127.0.0.1", "localhost"))
    rounds, real = 0, TrackingLoop.round

    async def counted(self: TrackingLoop) -> None:
        nonlocal rounds
        rounds += 1
        await real(self)

    monkeypatch.setattr(TrackingLoop, "round", counted)
    with capture_logs() as logs:
        await platform.running(mirror)
        await eventually(lambda: rounds >= 3)
    (line,) = [line for line in logs if line["event"] == "mlflow_mirror_waits"]
    assert "--allowed-hosts" in line["why"]
    assert line["log_level"] == "warning"
    assert mirror._figures.succeeded_at is None
    assert platform.runs() == []


@pytest.mark.parametrize(
    ("table", "why", "tried"),
    [("runs", "again and again", 3), ("experiments", "Look at MLflow's log", 0)],
)
async def test_a_server_with_troubles_of_its_own_is_left_alone_for_a_while(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, table: str, why: str, tried: int
) -> None:
    for number in range(1, 6):
        await platform.version(number)
    mirror = await platform.mirror()
    with platform.server.ill(table), pytest.raises(MlflowAway, match=why):
        await mirror.round()
    assert len(mirror._setbacks) == tried, "the others were not even tried"
    later = time.monotonic() + 3600
    monkeypatch.setattr(mirror_module, "time", SimpleNamespace(monotonic=lambda: later))
    await mirror.round()
    assert len(platform.versions()) == 5


async def test_one_thing_that_mlflow_refuses_does_not_hold_up_the_others(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    await platform.job("refused")
    await platform.job("fine")
    real = mirror_module.wanted_runs

    def with_a_bad_name(row: Any, events: Any) -> Any:
        runs = real(row, events)
        if row.job.metadata.name != "refused":
            return runs
        return tuple(type(run)(**{**vars(run), "params": {"<>": "bad"}}) for run in runs)

    monkeypatch.setattr(mirror_module, "wanted_runs", with_a_bad_name)
    mirror = await platform.mirror()
    with capture_logs() as logs:
        await mirror.round()
        await mirror.round()
    names = {
        run["info"]["run_name"]: params(run) if "params" in run["data"] else {}
        for run in platform.runs()
    }
    assert names["fine-1"]["method"] == "FineTune"
    assert (mirror._figures.behind or {})["training_job"] == 1
    assert mirror._figures.succeeded_at is not None
    (line,) = [line for line in logs if line["event"] == "not_in_mlflow"]
    assert line["name"] == "refused"


async def test_a_database_that_goes_away_is_only_waited_for(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    await platform.version(1)
    mirror = await platform.mirror()
    await platform.running(mirror)
    await eventually(lambda: mirror._figures.succeeded_at)
    async with platform.pool.acquire() as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await platform.version(2)
    await eventually(lambda: len(platform.versions()) == 2)
