"""bench-web over the real programs, with a tiny model: its figures add up and no row is lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.support.trained import ROOT
from tests.support.artifacts import build_artifact


@pytest.mark.pg
def test_it_counts_each_programs_cost_and_every_row(tmp_path: Path) -> None:
    artifact = build_artifact(tmp_path / "artefact")
    texts = tmp_path / "texts.txt"
    texts.write_text("it is good\nit is bad\nokay\n")
    command = [sys.executable, "-m", "benchmarks.web", "--artifact", artifact.uri]
    command += ["--texts", str(texts), "--pairs", "1", "--seconds", "0.5", "--clients", "4"]
    command += ["--rates", "10", "--no-search", "--no-troubles"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    pair = report["cpu"]["4 clients"]["pairs"][0]
    cost = pair["web"]["cpu_ms_per_answer"]
    assert cost["total"] == pytest.approx(cost["web"] + cost["model"] + cost["postgres"], abs=0.01)
    direct = pair["direct"]["cpu_ms_per_answer"]["total"]
    assert pair["overhead"] == pytest.approx(cost["total"] / direct - 1, abs=0.01)
    assert report["at_rates"][0]["web"]["answers"] == 5
    assert report["rows"]["acknowledged"] >= pair["web"]["answers"] + 5
    assert report["rows"] == {
        "acknowledged": report["rows"]["acknowledged"],
        "in_postgres": report["rows"]["acknowledged"],
        "lost": 0,
    }
