"""The commands against a real HTTP server: what they print, and how they exit."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO
from unittest import mock

import pytest
import shellingham

from sentops_cli.__main__ import run
from sentops_cli.home import Home
from sentops_cli.processes import ProcessId
from sentops_cli.state import PlatformState, write_state
from sentops_core.domain.conditions import Condition, ConditionStatus
from sentops_core.domain.evaluation import ClassScores, Evaluation
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import (
    GateMetricResult,
    GateResult,
    Metric,
    NameRef,
    TrainerStatus,
    TrainingJobPhase,
    TrainingJobStatus,
    Verdict,
)
from tests.services.cli.a_platform import (
    DIGEST,
    PREDICTION,
    TOKEN,
    Platform,
    a_dataset,
    a_job,
    a_version,
    finished,
    serving,
)
from tests.services.cli.support import free_port
from tests.support.builders import a_fast_path_report

EVALUATION = Evaluation(
    rows=600,
    accuracy=0.8,
    macro_f1=0.75,
    per_class={"positive": ClassScores(precision=1, recall=1, f1=1, support=600)},
    confusion=((600,),),
    calibration_error=0.02,
)
GATE = GateResult(
    verdict=Verdict.FAIL,
    reasons=("macro_f1 fell by more than 0.03.",),
    samples=600,
    champion_version="sentiment-1",
    champion_digest=DIGEST,
    p_value="0.0412",
    metrics=(
        GateMetricResult(
            name="macro_f1",
            value="0.75",
            champion="0.79",
            difference="-0.04",
            low="-0.06",
            high="-0.02",
        ),
    ),
)
PROGRESS = TrainingJobStatus(
    phase=TrainingJobPhase.RUNNING,
    trainer_status=TrainerStatus(
        progress_percentage=42,
        estimated_remaining_seconds=75,
        metrics=(Metric(name="loss", value="0.41234567"),),
    ),
)


@pytest.fixture
def platform() -> Iterator[Platform]:
    with serving(Platform(champion="sentiment-2")) as running:
        running.versions = {name: a_version(name) for name in ("sentiment-2", "sentiment-1")}
        yield running


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def sentops(
    platform: Platform, *arguments: str, stdin: str | TextIO = "", token: str = TOKEN
) -> Done:
    """One command in this process, in a pipe: what it printed and its exit code."""
    addresses = {
        "SENTOPS_URL": platform.url,
        "SENTOPS_TRAINER_URL": platform.url,
        "SENTOPS_TRAINER_TOKEN": token,
        "SENTOPS_BACKOFFICE_URL": platform.url,
        "SENTOPS_BACKOFFICE_API_TOKEN": token,
    }
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, addresses),
        mock.patch.object(sys, "stdin", io.StringIO(stdin) if isinstance(stdin, str) else stdin),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = run(list(arguments))
    return Done(code, out.getvalue(), err.getvalue())


def test_texts_are_answered_as_tab_separated_lines_in_a_pipe(platform: Platform) -> None:
    done = sentops(platform, "predict", "ottimo prodotto", "pessimo,\tsi è rotto")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "label\tscore\ttext\tprediction_id",
        f"positive\t0.900\tottimo prodotto\t{PREDICTION}",
        f"negative\t0.900\tpessimo, si è rotto\t{PREDICTION}",
    ]


def test_a_dash_reads_one_text_per_line_and_json_is_whole(platform: Platform) -> None:
    done = sentops(platform, "predict", "-", "--json", stdin="ottimo\n\nbrutto\n")
    assert [one["label"] for one in json.loads(done.stdout)] == ["positive", "negative"]


def test_texts_in_another_encoding_are_refused_with_the_way_out(platform: Platform) -> None:
    latin = io.TextIOWrapper(io.BytesIO("perché\n".encode("latin-1")), encoding="utf-8")
    done = sentops(platform, "predict", "-", stdin=latin)
    assert (done.returncode, platform.received) == (2, [])
    assert "not UTF-8" in done.stderr
    assert "--file" in done.stderr


def test_many_texts_go_in_several_requests_and_come_back_in_order(platform: Platform) -> None:
    lines = "".join(f"{'ottimo' if number % 2 else 'brutto'} {number}\n" for number in range(205))
    done = sentops(platform, "predict", "-", "--json", stdin=lines)
    assert [kind for kind, _ in platform.received] == ["batch"] * 3
    labels = [one["label"] for one in json.loads(done.stdout)]
    assert labels == ["positive" if number % 2 else "negative" for number in range(205)]


def test_a_file_is_answered_as_csv(platform: Platform, tmp_path: Path) -> None:
    file = tmp_path / "reviews.csv"
    file.write_text("text\nottimo\n")
    done = sentops(platform, "predict", "--file", str(file), "--column", "text")
    assert done.stdout == "text,label\nottimo\n"
    assert platform.received == [("csv", "text")]


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict",),
        ("predict", "a", "--file", "b.csv"),
        ("predict", "--file", "missing.csv"),
        ("predict", "-"),
        ("predict", "perch\udce9"),
    ],
)
def test_input_that_makes_no_sense_exits_with_2_and_a_sentence(
    platform: Platform, arguments: tuple[str, ...]
) -> None:
    done = sentops(platform, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


def test_a_refusal_of_the_service_is_its_own_sentence(platform: Platform) -> None:
    done = sentops(platform, "predict", "   ")
    assert (done.returncode, done.stderr) == (
        2,
        "Error: The text is empty; send at least one letter.\n",
    )


def test_a_correction_is_sent_with_its_note(platform: Platform) -> None:
    done = sentops(platform, "feedback", PREDICTION, "negative", "--note", "ironico")
    assert done.returncode == 0
    assert platform.received == [
        ("feedback", {"prediction_id": PREDICTION, "feedback": "negative", "note": "ironico"})
    ]


def test_an_unknown_prediction_exits_with_1(platform: Platform) -> None:
    done = sentops(platform, "feedback", "forged", "negative")
    assert done.returncode == 1
    assert "No such prediction" in done.stderr


def test_a_wrong_token_exits_with_4(platform: Platform) -> None:
    done = sentops(platform, "versions", token="wrong")
    assert done.returncode == 4
    assert "This token is not known here" in done.stderr


def test_an_address_where_nothing_answers_exits_with_3(platform: Platform) -> None:
    done = sentops(platform, "predict", "ciao", "--url", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 3
    assert "web does not answer" in done.stderr


def test_an_address_that_is_none_exits_with_2(platform: Platform) -> None:
    done = sentops(platform, "predict", "ciao", "--url", "nonsense")
    assert done.returncode == 2
    assert "write it as http://host:port" in done.stderr


def test_without_a_platform_the_way_to_start_one_is_said(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sentops_cli", "predict", "ciao", "--home", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert "Start it with `sentops up`" in done.stderr


def test_a_watched_training_shows_progress_and_ends_with_the_verdict(platform: Platform) -> None:
    queued = TrainingJobStatus(
        phase=TrainingJobPhase.QUEUED,
        conditions=(
            Condition(
                type="Trained",
                status=ConditionStatus.UNKNOWN,
                reason=Reason.WAITING_FOR_CAPACITY,
                message="Another run is under way.",
                last_transition_time=datetime.now(UTC),
            ),
        ),
    )
    passed = GATE.model_copy(update={"verdict": Verdict.PASS, "reasons": ()})
    platform.script = [
        queued,
        PROGRESS,
        finished(
            TrainingJobPhase.SUCCEEDED,
            evaluation=EVALUATION,
            fast_path=a_fast_path_report(),
            gate_result=passed,
            model_version_ref=NameRef(name="sentiment-3"),
        ),
    ]
    done = sentops(platform, "train", "v2", "--method", "linear", "--name", "mine", "--watch")
    assert done.returncode == 0, done.stderr
    assert platform.received == [
        ("train", {"dataset_id": "v2", "method": "Linear", "name": "mine"})
    ]
    lines = done.stdout.splitlines()
    assert lines[0] == "mine  Queued  Another run is under way."
    assert lines[1] == "mine  Running  42 %  1:15 left  loss 0.4123"
    assert "mine: accuracy 0.800, macro-F1 0.750 on 600 held-out rows" in lines
    assert (
        "Fast path: 62% of the texts answered early, macro-F1 0.748 with it and 0.750 without, "
        "98.5% the same label"
    ) in lines
    assert "Gate against sentiment-1: Pass on 600 samples, McNemar p = 0.0412" in lines
    assert (
        "  macro_f1 0.75, champion 0.79, difference -0.040 (90 % interval -0.060 to -0.020)"
        in lines
    )
    assert lines[-1] == "mine succeeded: sentiment-3."


def test_a_rejected_training_exits_with_5_and_says_why(platform: Platform) -> None:
    slower = a_fast_path_report(used=False, message="It costs 0.012 of macro-F1.")
    platform.script = [
        finished(
            TrainingJobPhase.REJECTED, evaluation=EVALUATION, fast_path=slower, gate_result=GATE
        )
    ]
    done = sentops(platform, "train", "--watch")
    assert done.returncode == 5
    assert "macro_f1 fell by more than 0.03." in done.stdout
    assert "Fast path not used: It costs 0.012 of macro-F1. (62%" in done.stdout


def test_a_failed_training_exits_with_1(platform: Platform) -> None:
    platform.script = [finished(TrainingJobPhase.FAILED)]
    assert sentops(platform, "train", "--watch").returncode == 1


def test_only_what_was_asked_for_is_sent_to_the_trainer(platform: Platform) -> None:
    platform.script = [PROGRESS]
    done = sentops(
        platform,
        *("train", "v1", "--base", "english-small", "--promotion", "manual"),
        *(
            "--fast-path",
            "off",
            "--epochs",
            "2",
            "--learning-rate",
            "5e-5",
            "--seed",
            "7",
            "--json",
        ),
    )
    assert json.loads(done.stdout)["status"]["phase"] == "Running"
    assert platform.received == [
        (
            "train",
            {
                "dataset_id": "v1",
                "method": "FineTune",
                "base": "english-small",
                "promotion": {"mode": "Manual"},
                "fast_path": "Off",
                "hyperparameters": {"epochs": 2, "learningRate": "5e-5", "seed": 7},
            },
        )
    ]


def test_who_works_at_the_terminal_is_named_for_the_audit_log(platform: Platform) -> None:
    sentops(platform, "versions")
    assert all(actor.startswith("cli") for actor in platform.actors)


def test_versions_are_listed_one_per_line(platform: Platform) -> None:
    lines = sentops(platform, "versions").stdout.splitlines()
    assert lines[0].startswith("version\tstate\ttraffic")
    assert lines[1].startswith("sentiment-2\tLive\t100 %")
    assert len(lines) == 3


def test_a_version_tells_what_its_fast_path_is_worth_if_its_training_is_still_known(
    platform: Platform,
) -> None:
    assert "Fast path" not in sentops(platform, "versions", "sentiment-2").stdout
    status = finished(
        TrainingJobPhase.SUCCEEDED,
        fast_path=a_fast_path_report(),
        model_version_ref=NameRef(name="sentiment-2"),
    )
    platform.jobs["first-linear"] = [a_job("first-linear", status)]
    shown = sentops(platform, "versions", "sentiment-2").stdout
    assert "Fast path: 62% of the texts answered early" in shown
    assert "Fast path" not in sentops(platform, "versions", "sentiment-1").stdout


@pytest.mark.parametrize(
    ("arguments", "action", "body"),
    [
        (
            ("promote", "sentiment-1", "--force", "--reason", "a demo"),
            "promote",
            {"reason": "a demo", "force": True, "clear_quarantine": False},
        ),
        (("approve", "sentiment-1"), "approve", {"reason": ""}),
        (
            ("archive", "sentiment-1", "--reason", "not needed"),
            "archive",
            {"reason": "not needed"},
        ),
        (("rollback", "--yes"), "rollback", {"reason": ""}),
    ],
)
def test_changes_of_versions_go_to_the_trainer(
    platform: Platform, arguments: tuple[str, ...], action: str, body: dict[str, Any]
) -> None:
    done = sentops(platform, *arguments)
    assert done.returncode == 0, done.stderr
    version = "sentiment-2" if action == "rollback" else "sentiment-1"
    assert platform.received == [(action, (version, body))]


def test_a_rollback_asks_first_and_no_means_no(platform: Platform) -> None:
    done = sentops(platform, "rollback", stdin="n\n")
    assert done.returncode == 1
    assert platform.received == []


def test_a_rollback_says_who_answers_then(platform: Platform) -> None:
    done = sentops(platform, "rollback", stdin="y\n")
    assert "sentiment-2 is taken off; sentiment-1 answers in a moment." in done.stdout


def test_a_rollback_without_a_champion_is_refused(platform: Platform) -> None:
    platform.champion = None
    assert sentops(platform, "rollback", "--yes").returncode == 4


def test_lineage_walks_from_the_prediction_to_the_rows(platform: Platform) -> None:
    lines = sentops(platform, "lineage", PREDICTION).stdout.splitlines()
    indents = [len(line) - len(line.lstrip()) for line in lines]
    told = dict(
        zip(
            (line.strip().split(" ")[0] + " " + line.split()[1] for line in lines),
            indents,
            strict=False,
        )
    )
    assert (
        lines[0] == "Prediction “ottimo [bold]prodotto[/bold]”: positive (0.930), by the fast path"
    )
    assert (
        told["Model version"] < told["Training job"] < told["Dataset version"] < told["9 positive"]
    )
    assert any("“buono”: positive (train), by web-1" in line for line in lines)


def test_the_log_of_a_job_comes_from_the_trainer(platform: Platform, tmp_path: Path) -> None:
    platform.script = [PROGRESS]
    sentops(platform, "train", "--name", "mine")
    done = sentops(platform, "logs", "mine", "-n", "2", "--home", str(tmp_path))
    assert done.stdout == "two\nthree\n"


def test_a_log_of_nothing_known_names_the_choices(platform: Platform, tmp_path: Path) -> None:
    done = sentops(platform, "logs", "nothing", "--home", str(tmp_path))
    assert done.returncode == 1
    assert "There is no training job 'nothing'" in done.stderr


def test_status_without_the_trainer_does_not_say_that_nothing_answers(
    platform: Platform, tmp_path: Path
) -> None:
    me = ProcessId.of(os.getpid())  # stands for the supervisor
    write_state(Home(tmp_path).state, PlatformState(supervisor=me, started_at=datetime.now(UTC)))
    there = sentops(platform, "status", "--home", str(tmp_path))
    assert "sentiment-2 answers" in there.stdout
    away = sentops(platform, "status", "--home", str(tmp_path), token="wrong")
    assert "is not known here" in away.stdout
    assert "No version answers" not in away.stdout


def test_status_of_programs_that_something_else_runs_asks_each_of_them(
    platform: Platform, tmp_path: Path
) -> None:
    there = sentops(platform, "status", "--home", str(tmp_path))
    assert there.returncode == 0, there.stderr
    assert f"trainer  {platform.url}" in re.sub(" +", "  ", there.stdout.replace("\t", "  "))
    assert "sentiment-2 answers" in there.stdout
    away = sentops(platform, "status", "--home", str(tmp_path), "--url", "http://127.0.0.1:1")
    assert away.returncode == 3
    assert "web does not answer" in away.stdout
    told = json.loads(sentops(platform, "status", "--home", str(tmp_path), "--json").stdout)
    assert {one["name"]: one["message"] for one in told["programs"]} == {
        "web": "",
        "backoffice": "",
        "trainer": "",
    }


def test_a_file_is_uploaded_with_the_fields_that_were_given(
    platform: Platform, tmp_path: Path
) -> None:
    file = tmp_path / "reviews.csv"
    file.write_bytes(b"testo;voto\nbuono;5\n")
    done = sentops(
        platform,
        *("datasets", "upload", str(file), "--text-column", "testo", "--label-column", "voto"),
        *("--label", "buono=positive", "--label", "a=b=negative", "--licence", "MIT"),
    )
    assert done.returncode == 0, done.stderr
    ((name, content, fields),) = platform.uploads
    assert (name, content) == ("reviews.csv", b"testo;voto\nbuono;5\n")
    assert json.loads(fields.pop("label_map")) == {"buono": "positive", "a=b": "negative"}
    assert fields == {"text_column": "testo", "label_column": "voto", "licence": "MIT"}
    assert done.stdout.splitlines() == [
        "9 of 10 rows kept from the file (csv)",
        "Rows: 9 added",
        "Left out: 1 unknown label",
        "  row 2: Label 'buono' is not known; map it.",
        "Dataset version v1 is ready. Train on it: sentops train v1 --watch",
    ]


@pytest.mark.parametrize("label", ["buono", "=positive", "buono="])
def test_a_label_mapping_without_both_sides_is_bad_input(
    platform: Platform, tmp_path: Path, label: str
) -> None:
    file = tmp_path / "reviews.csv"
    file.write_text("text,label\n")
    done = sentops(platform, "datasets", "upload", str(file), "--label", label)
    assert done.returncode == 2
    assert platform.uploads == []


def test_a_version_is_built_from_corrections(platform: Platform) -> None:
    platform.datasets = [a_dataset("v1", "reviews")]
    done = sentops(platform, "datasets", "build", "--parent", "v1")
    assert platform.received == [("from-feedback", {"parent": "v1"})]
    assert "Dataset version v2 is ready" in done.stdout


def test_a_build_without_new_corrections_says_that_nothing_was_made(platform: Platform) -> None:
    platform.corrections = False
    assert "nothing was made" in sentops(platform, "datasets", "build").stdout


def test_datasets_are_listed_one_per_line_and_shown_with_their_origin(platform: Platform) -> None:
    platform.datasets = [a_dataset("v2", "reviews", "v1"), a_dataset("v1", "reviews")]
    lines = sentops(platform, "datasets").stdout.splitlines()
    assert lines[1].startswith("v2\treviews\t7\t2\tnegative 4, positive 5\tv1")
    assert len(lines) == 3
    shown = sentops(platform, "datasets", "show", "v2").stdout
    assert "Origin: somewhere" in shown
    assert "Licence: MIT" in shown
    assert sentops(platform, "datasets", "show", "v9").returncode == 1


def test_rows_come_page_by_page_until_there_are_enough_or_no_more(platform: Platform) -> None:
    lines = sentops(platform, "datasets", "rows", "v1", "-n", "1200").stdout.splitlines()
    assert lines[1] == "neutral\ttrain\tupload:a\t\ttext 0"
    assert lines[-1].endswith("text 1199")
    every = sentops(platform, "datasets", "rows", "v1", "-n", "5000", "--json").stdout
    assert len(json.loads(every)) == 1500


def test_help_tells_the_exit_codes(platform: Platform) -> None:
    assert "rejected by the gate" in " ".join(sentops(platform, "--help").stdout.split())


def test_a_shell_gets_its_completion_script(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The shell is found among the parents, and whoever started the tests need not be one.
    monkeypatch.setattr(shellingham, "detect_shell", lambda: ("bash", "/bin/bash"))
    script = sentops(platform, "--show-completion").stdout
    assert "complete -o default -F _sentops_completion sentops" in script


@pytest.mark.parametrize("command", ["archive", "approve", "rollback"])
def test_commands_on_versions_are_completed(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    asked = {
        "_SENTOPS_COMPLETE": "complete_bash",
        "COMP_WORDS": f"sentops {command[:3]}",
        "COMP_CWORD": "1",
    }
    for name, value in asked.items():
        monkeypatch.setenv(name, value)
    assert command in sentops(platform).stdout.splitlines()
