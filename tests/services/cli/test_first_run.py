"""What a fresh platform does by itself."""

import asyncio
import hashlib
import io
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sentops_cli import sample
from sentops_cli.__main__ import run
from sentops_cli.first_run import Dataset, Listener, Step, first_run, free_name, next_step
from sentops_cli.services import Address, Addresses, open_services
from sentops_core.domain.resources import (
    BaseModelRef,
    DatasetRef,
    Metadata,
    NameRef,
    Output,
    TrainingJob,
    TrainingJobPhase,
    TrainingJobSpec,
    TrainingJobStatus,
)
from tests.services.cli.a_platform import TOKEN, Platform, finished, serving
from tests.services.cli.archives import sdist

SAMPLE = Dataset("v1", sample.NAME)
THEIRS = Dataset("v1", "our-reviews")


def a_job(name: str, phase: TrainingJobPhase = TrainingJobPhase.SUCCEEDED) -> TrainingJob:
    return TrainingJob(
        metadata=Metadata(name=name, creation_timestamp=datetime(2026, 1, 1, tzinfo=UTC)),
        spec=TrainingJobSpec(
            model_name="sentiment",
            base_model=BaseModelRef(storage_uri="named://english-small"),
            dataset=DatasetRef(storage_uri="file:///d", content_hash="sha256:" + "0" * 64),
            output=Output(storage_uri="file:///store"),
        ),
        status=TrainingJobStatus(phase=phase),
    )


@pytest.mark.parametrize(
    ("datasets", "jobs", "step"),
    [
        ([], [], Step.UPLOAD),
        ([SAMPLE], [], Step.TRAIN_LINEAR),
        ([SAMPLE], [a_job("first-linear")], Step.TRAIN_FINE_TUNE),
        ([SAMPLE], [a_job("first-linear", TrainingJobPhase.REJECTED)], Step.TRAIN_FINE_TUNE),
        ([SAMPLE], [a_job("first-fine-tune"), a_job("first-linear")], Step.NOTHING),
    ],
)
def test_each_step_follows_the_one_that_was_done(
    datasets: list[Dataset], jobs: list[TrainingJob], step: Step
) -> None:
    assert next_step(datasets, jobs) is step


def test_a_first_training_that_failed_is_tried_again_under_the_next_name() -> None:
    failed = [a_job("first-linear", TrainingJobPhase.FAILED)]
    assert next_step([SAMPLE], failed) is Step.TRAIN_LINEAR
    assert free_name("first-linear", failed) == "first-linear-2"


def test_peoples_own_data_or_jobs_end_the_first_run() -> None:
    assert next_step([THEIRS], []) is Step.NOTHING
    assert next_step([SAMPLE], [a_job("sentiment-v1-linear-abc")]) is Step.NOTHING


def test_a_dataset_built_from_the_sample_later_changes_nothing() -> None:
    later = [Dataset("v2", sample.NAME), SAMPLE]
    done = [a_job("first-linear"), a_job("first-fine-tune")]
    assert next_step(later, done) is Step.NOTHING


@pytest.fixture
def platform() -> Iterator[Platform]:
    with serving(Platform()) as running:
        yield running


class Heard:
    """What the first run told, and the milestones it reached."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.milestones: list[str] = []

    def listener(self) -> Listener:
        return Listener(self.said.append, self.reached)

    def reached(self, milestone: str) -> float:
        self.milestones.append(milestone)
        return 1.0


async def a_first_run(platform: Platform, folder: Path, *, with_sample: bool = True) -> Heard:
    heard = Heard()
    addresses = Addresses(
        web=Address("web", platform.url),
        trainer=Address("trainer", platform.url, TOKEN),
        backoffice=Address("backoffice", platform.url, TOKEN),
        monitor=Address("monitor", platform.url),
    )
    async with open_services(addresses) as services:
        await first_run(
            services, folder, heard.listener(), base="multilingual", with_sample=with_sample
        )
    return heard


@pytest.fixture
def kept_sdist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    content = sdist()
    monkeypatch.setattr(sample, "SDIST_SHA256", hashlib.sha256(content).hexdigest())
    (tmp_path / "vaderSentiment-3.3.2.tar.gz").write_bytes(content)
    return tmp_path


def goes_live(platform: Platform) -> None:
    platform.champion = "sentiment-1"
    version = NameRef(name="sentiment-1")
    platform.script = [
        TrainingJobStatus(phase=TrainingJobPhase.RUNNING),
        TrainingJobStatus(phase=TrainingJobPhase.SUCCEEDED, model_version_ref=version),
    ]


async def test_a_first_run_uploads_trains_quickly_and_then_better(
    platform: Platform, kept_sdist: Path
) -> None:
    goes_live(platform)
    heard = await a_first_run(platform, kept_sdist)
    ((_, content, fields),) = platform.uploads
    assert b"works, really,positive,amazon-review:2" in content.replace(b'"', b"")
    assert "mean rating over 0.5 is positive" in fields["origin"]
    assert "MIT" in fields["licence"]
    assert fields["group_column"] == "group"
    linear, fine_tune = [body for _, body in platform.received]
    assert (linear["name"], linear["method"], linear["dataset_id"]) == (
        "first-linear",
        "Linear",
        "v1",
    )
    assert (fine_tune["name"], fine_tune["method"]) == ("first-fine-tune", "FineTune")
    assert {"text": "ottimo prodotto", "label": "positive"} in fine_tune["gate"]["mustPass"]
    assert heard.milestones == [
        "sample_data",
        "first_answer_live",
        "first_answer_done",
        "fine_tuned_live",
        "fine_tuned_done",
    ]


async def test_a_second_first_run_does_nothing(platform: Platform, kept_sdist: Path) -> None:
    goes_live(platform)
    await a_first_run(platform, kept_sdist)
    platform.received.clear()
    platform.uploads.clear()
    again = await a_first_run(platform, kept_sdist)
    assert (platform.received, platform.uploads, again.said) == ([], [], [])


async def test_without_the_package_index_the_way_to_own_data_is_said(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    heard = await a_first_run(platform, tmp_path / "sample")
    assert platform.uploads == []
    assert "sentops datasets upload FILE" in heard.said[-1]


async def test_no_sample_was_asked_for(platform: Platform, tmp_path: Path) -> None:
    heard = await a_first_run(platform, tmp_path, with_sample=False)
    assert (platform.uploads, platform.received) == ([], [])
    assert "Upload your own" in heard.said[-1]


async def test_a_first_training_that_failed_is_not_repeated_in_a_loop(
    platform: Platform, kept_sdist: Path
) -> None:
    platform.script = [TrainingJobStatus(phase=TrainingJobPhase.FAILED)]
    heard = await a_first_run(platform, kept_sdist)
    assert [body["name"] for _, body in platform.received] == ["first-linear"]
    assert "sentops logs first-linear" in heard.said[-1]


async def test_two_first_runs_at_once_train_each_model_once(
    platform: Platform, kept_sdist: Path
) -> None:
    goes_live(platform)
    await asyncio.gather(*(a_first_run(platform, kept_sdist) for _ in range(2)))
    assert sorted(platform.jobs) == ["first-fine-tune", "first-linear"]


# ---- the command, on a platform that something else started


@pytest.fixture
def scratch(
    tmp_path: Path, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[Path]]:
    """The command finds the platform by environment; where it fetched the sample to."""
    content = sdist()
    folders: list[Path] = []

    async def fetch(folder: Path) -> bytes:
        (folder / "written").touch()
        folders.append(folder)
        return content

    monkeypatch.setattr(sample, "SDIST_SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(sample, "fetch_sdist", fetch)
    monkeypatch.chdir(tmp_path)  # there is no state folder here
    for name, value in {
        "SENTOPS_URL": platform.url,
        "SENTOPS_TRAINER_URL": platform.url,
        "SENTOPS_TRAINER_TOKEN": TOKEN,
        "SENTOPS_BACKOFFICE_URL": platform.url,
        "SENTOPS_BACKOFFICE_API_TOKEN": TOKEN,
    }.items():
        monkeypatch.setenv(name, value)
    yield folders
    assert list(tmp_path.iterdir()) == []


def first_run_command(*options: str) -> tuple[int, list[str], str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(["first-run", *options])
    return code, out.getvalue().splitlines(), err.getvalue()


def test_the_command_does_a_first_run_and_a_second_time_nothing(
    platform: Platform, scratch: list[Path]
) -> None:
    goes_live(platform)
    code, lines, _ = first_run_command("--base", "english-small")
    assert code == 0
    assert [body["base"] for _, body in platform.received] == ["english-small"] * 2
    assert lines[0].startswith("Fetching review snippets")
    assert any("sentiment-1 answers" in line for line in lines)
    assert lines[-1].startswith("The first run is done")
    (folder,) = scratch
    assert folder.is_relative_to(tempfile.gettempdir())
    assert not folder.exists()
    code, lines, _ = first_run_command()
    assert (code, len(lines), len(platform.received)) == (0, 1, 2)
    assert lines[0].startswith("Nothing is left to do")


def test_the_command_shows_progress_and_the_verdict(
    platform: Platform, scratch: list[Path]
) -> None:
    goes_live(platform)
    # A job moves on with each look, and both the steps and the screen look.
    platform.script = [*[TrainingJobStatus(phase=TrainingJobPhase.RUNNING)] * 4, platform.script[1]]
    _, lines, _ = first_run_command()
    assert "first-linear  Running  0 %" in lines
    assert "first-linear succeeded: sentiment-1." in lines


def test_a_first_training_that_fails_is_exit_code_1_and_the_way_on(
    platform: Platform, scratch: list[Path]
) -> None:
    platform.script = [finished(TrainingJobPhase.FAILED)]
    code, lines, _ = first_run_command()
    assert code == 1
    assert "the next `sentops first-run` tries it again" in lines[-1]


def test_programs_that_are_away_are_exit_code_3(
    platform: Platform, scratch: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTOPS_BACKOFFICE_URL", "http://127.0.0.1:1")
    code, _, complaint = first_run_command()
    assert code == 3
    assert "backoffice does not answer" in complaint
