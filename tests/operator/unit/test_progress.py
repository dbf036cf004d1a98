"""Progress is kept at once and saved now and then."""

import pytest

from sentops_core.domain.resources import TrainerStatus
from sentops_operator import progress
from sentops_operator.progress import ProgressBoard


class Watch:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    monkeypatch.setattr(progress, "time", watch)
    return watch


def at(percent: int) -> TrainerStatus:
    return TrainerStatus(progress_percentage=percent)


def test_the_first_report_is_saved_now_and_the_next_five_seconds_after(watch: Watch) -> None:
    board = ProgressBoard()
    assert board.post("team", "first", at(1)) == 0
    watch.now += 2
    assert board.post("team", "first", at(2)) == pytest.approx(3)
    watch.now += 3
    assert board.post("team", "first", at(3)) == 0


def test_the_newest_report_is_the_one_that_will_be_saved(watch: Watch) -> None:
    board = ProgressBoard()
    for percent in (1, 2, 3):
        board.post("team", "first", at(percent))
    assert board.latest("team", "first") == at(3)


def test_runs_do_not_hold_each_other_up(watch: Watch) -> None:
    board = ProgressBoard()
    board.post("team", "first", at(1))
    assert board.post("team", "second", at(1)) == 0
    assert board.post("other", "first", at(1)) == 0


def test_a_finished_run_leaves_nothing_behind(watch: Watch) -> None:
    board = ProgressBoard()
    board.post("team", "first", at(1))
    board.forget("team", "first")
    assert board.latest("team", "first") is None
    assert board.post("team", "first", at(2)) == 0
