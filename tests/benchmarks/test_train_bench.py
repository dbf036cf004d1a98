"""The benchmark of training: both contenders train for real, and the figures are read off their curves."""

import csv
import json
from pathlib import Path

import pytest

from benchmarks import train
from tests.support.tiny_base import build_tiny_base
from tests.support.training_runs import sentences


def course(*points: tuple[float, float], final: tuple[float, float]) -> dict[str, object]:
    def point(spent: float, score: float) -> dict[str, float]:
        return {"cpu_seconds": spent, "seconds": spent / 2, "macro_f1": score}

    about = {"samples_per_cpu_second": 1.0, "epochs": 1.0, "peak_rss_mb": 1}
    return {"curve": [point(*one) for one in points], **point(*final), **about}


def test_the_target_is_read_where_the_mean_curve_reaches_the_mean_of_the_reference() -> None:
    seeds = [
        {
            "reference": course(final=(100, 0.70)),
            "ours": course((10, 0.72), (20, 0.60), final=(22, 0.72)),
        },
        {
            "reference": course(final=(100, 0.60)),
            "ours": course((10, 0.50), (20, 0.66), (30, 0.70), final=(32, 0.70)),
        },
    ]
    found = train.figures(seeds)
    assert [point["macro_f1"] for point in found["mean_curve_of_ours"]] == [0.61, 0.63, 0.71]
    assert [target["value"] for target in found["targets"]] == [0.26, 0.26]
    assert not any(target["met"] for target in found["targets"])
    never = train.figures([{**one, "ours": one["reference"]} for one in seeds[:1]])
    assert never["targets"][0] | {"name": ""} == {
        "name": "",
        "target": 0.2,
        "value": None,
        "met": False,
    }


@pytest.mark.torch
def test_both_train_on_the_rows_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = sentences(130, seed=5)
    for name, part in (("train", rows[:90]), ("test", rows[90:])):
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *part])
    files = ["--train", str(tmp_path / "train.csv"), "--test", str(tmp_path / "test.csv")]
    base = build_tiny_base(tmp_path / "base").as_uri()
    options = ["--base", base, "--seeds", "1", "--max-length", "32", "--epochs", "1"]
    monkeypatch.setattr("sys.argv", ["train", *files, *options, "--our-epochs", "2"])
    assert train.main() == 0
    report = json.loads(capsys.readouterr().out)
    (seed,) = report["seeds"]
    assert report["rows"] | {"from": ""} == {"from": "", "train": 90, "test": 40}
    assert [point["epoch"] for point in seed["ours"]["curve"]] == [1.0, 2.0]
    assert len(seed["reference"]["curve"]) == 1
    for who in ("ours", "reference"):
        assert seed[who]["cpu_seconds"] > 0
        assert 0 < seed[who]["macro_f1"] <= 1
