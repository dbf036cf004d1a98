"""Intervals, disagreements, curves and spells: what the training and version pages draw."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from sentops_core.domain.disagreement import HeldOutAnswer, WhoIsRight, pair
from sentops_core.domain.intervals import macro_f1_interval
from sentops_core.domain.learning_curve import (
    CurvePoint,
    curve_of_history,
    curve_of_progress,
    thinned,
)
from sentops_core.domain.spells import Arrival, Return, spells

CONFUSION = ((80, 15, 5), (20, 60, 20), (4, 16, 130))
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def macro_f1(confusion: list[list[int]]) -> float:
    size = range(len(confusion))
    found = [
        2 * confusion[k][k] / (sum(confusion[k]) + sum(row[k] for row in confusion)) for k in size
    ]
    return sum(found) / len(found)


def test_the_interval_of_a_macro_f1_is_that_of_drawing_the_rows_again() -> None:
    cells = [(i, j) for i in range(3) for j in range(3)]
    weights = [CONFUSION[i][j] for i, j in cells]
    generator, drawn = random.Random(3), []
    for _ in range(2000):
        table = [[0] * 3 for _ in range(3)]
        for i, j in generator.choices(cells, weights, k=sum(weights)):
            table[i][j] += 1
        drawn.append(macro_f1(table))
    drawn.sort()
    interval = macro_f1_interval(macro_f1([list(row) for row in CONFUSION]), CONFUSION)
    assert interval is not None
    assert interval[0] == pytest.approx(drawn[50], abs=0.006)
    assert interval[1] == pytest.approx(drawn[1950], abs=0.006)


def test_nothing_counted_has_no_interval_and_a_perfect_model_a_narrow_one() -> None:
    assert macro_f1_interval(0.0, ()) is None
    assert macro_f1_interval(0.0, ((0, 0), (0, 0))) is None
    assert macro_f1_interval(1.0, ((5, 0), (0, 5))) == (1.0, 1.0)
    assert macro_f1_interval(0.7, ((5, 0, 0), (3, 5, 0), (0, 0, 0))) is not None


def answer(truth: str, said: str) -> HeldOutAnswer:
    return HeldOutAnswer(truth, said, 0.9)


def test_two_models_are_compared_on_the_rows_that_both_answered() -> None:
    first = {
        "a": answer("x", "x"),
        "b": answer("x", "y"),
        "c": answer("y", "x"),
        "d": answer("y", "y"),
        "relabelled": answer("x", "x"),
        "mine": answer("x", "x"),
    }
    second = {
        "a": answer("x", "x"),
        "b": answer("x", "x"),
        "c": answer("y", "z"),
        "d": answer("y", "x"),
        "relabelled": answer("y", "x"),
        "theirs": answer("x", "x"),
    }
    found = pair(first, second)
    assert (found.rows, found.relabelled) == (4, 1)
    assert (found.both_right, found.only_first_right) == (1, 1)
    assert (found.only_second_right, found.neither_right) == (1, 1)
    assert [(one.content_hash, one.who) for one in found.disagreements] == [
        ("b", WhoIsRight.SECOND),
        ("c", WhoIsRight.NEITHER),
        ("d", WhoIsRight.FIRST),
    ]
    assert found.p_value == 1.0


def post(epoch: float | None, **values: object) -> dict[str, object]:
    named = values if epoch is None else {**values, "current_epoch": epoch}
    return {"metrics": [{"name": name, "value": str(value)} for name, value in named.items()]}


def test_the_curve_has_each_evaluation_once_and_what_is_no_number_not_at_all() -> None:
    posts = [
        post(0.0, total_steps=100),
        post(0.5, loss=0.9),
        post(0.6, loss=0.9),
        post(1.0, loss=0.7, eval_macro_f1=0.5),
        post(1.5, loss="nan", eval_macro_f1=0.5),
        post(2.0, loss=0.6, eval_macro_f1=0.6),
        {"metrics": None},
        post(None, step="exporting"),
    ]
    assert curve_of_progress(posts) == [
        CurvePoint(0.5, {"loss": 0.9}),
        CurvePoint(1.0, {"loss": 0.7, "eval_macro_f1": 0.5}),
        CurvePoint(2.0, {"loss": 0.6, "eval_macro_f1": 0.6}),
    ]


def test_a_resumed_attempt_goes_on_where_its_checkpoint_was() -> None:
    posts = [post(1.0, loss=0.9), post(2.0, loss=0.8), post(1.5, loss=0.85), post(2.5, loss=0.7)]
    assert [one.epoch for one in curve_of_progress(posts)] == [1.0, 1.5, 2.5]


def test_the_log_of_the_trainer_gives_the_same_curve() -> None:
    history = [
        {"epoch": 0.5, "loss": 0.9, "learning_rate": 1e-4, "step": 5},
        {"epoch": 1.0, "loss": 0.7, "step": 10},
        {"epoch": 1.0, "eval_macro_f1": 0.5, "step": 10},
        {"train_runtime": 12.0, "epoch": 1.0},
    ]
    assert curve_of_history(history) == [
        CurvePoint(0.5, {"loss": 0.9, "learning_rate": 1e-4}),
        CurvePoint(1.0, {"loss": 0.7, "eval_macro_f1": 0.5}),
    ]


def test_a_long_curve_keeps_its_ends_and_its_evaluations() -> None:
    points = [
        CurvePoint(at, {"eval_macro_f1": 0.5} if at % 100 == 50 else {"loss": 1.0})
        for at in range(1000)
    ]
    kept = thinned(points, 100)
    assert len(kept) <= 100
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert sum("eval_macro_f1" in one.values for one in kept) == 10
    assert thinned(points[:5], 100) == points[:5]


def test_who_served_when_is_told_by_arrivals() -> None:
    def at(day: int) -> datetime:
        return NOW + timedelta(days=day)

    arrivals = [
        Arrival("v1", at(0)),
        Arrival("v2", at(2)),
        Arrival("v1", at(3)),
        Arrival("v1", at(4)),
    ]
    found = spells(arrivals, [Return("v2", at(3), "Too many mistakes."), Return("v9", at(1), "x")])
    assert [(one.version, one.since, one.until) for one in found] == [
        ("v1", at(0), at(2)),
        ("v2", at(2), at(3)),
        ("v1", at(3), None),
    ]
    assert [one.taken_back for one in found] == ["", "Too many mistakes.", ""]
