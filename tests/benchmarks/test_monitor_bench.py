"""The monitor's bench, small: it counts everything it wrote, and says what it measured. Times are not looked at."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.pg
def test_it_measures_fill_increment_and_memory_and_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/monitor.py", "--sizes", "300", "--times", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout)
    assert done.returncode == (0 if found["passed"] else 1), done.stderr
    assert [one["predictions"] for one in found["sizes"]] == [300]
    for one in found["sizes"]:
        assert 0 < one["votes"] < one["predictions"]
        assert 0 < one["first_figures_after_seconds"] <= one["first_fill_seconds"] + 0.01
        assert one["increment_seconds"] > 0
        assert 30 < one["idle_rss_mb"] < found["limits"]["rss_mb"]
    assert found["increment_ratio_largest_to_smallest"] == 1
    assert "300 of 300 predictions" in done.stderr
