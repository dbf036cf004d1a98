"""How a training went, step by step: from what the run posted on its way, or from what it wrote down at its end."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MEASURED = ("loss", "eval_loss", "eval_macro_f1", "eval_accuracy", "learning_rate", "grad_norm")


@dataclass(frozen=True)
class CurvePoint:
    """`values` has what was measured there, of MEASURED."""

    epoch: float
    values: Mapping[str, float]


def curve_of_progress(posts: Iterable[Mapping[str, Any]]) -> list[CurvePoint]:
    """From TrainerStatus documents, oldest first. Posts repeat what was logged last; only news is a point.

    An attempt that goes on from a checkpoint takes the place of what was done after that checkpoint before.
    """
    points: list[CurvePoint] = []
    before: dict[str, float] = {}
    for post in posts:
        given = {one["name"]: _number(one["value"]) for one in post.get("metrics") or ()}
        epoch = given.get("current_epoch", given.get("epoch"))
        fresh = {
            name: value
            for name in MEASURED
            if (value := given.get(name)) is not None and before.get(name) != value
        }
        if epoch is None or not fresh:
            continue
        while points and points[-1].epoch > epoch:
            points.pop()
        before |= fresh
        points.append(CurvePoint(epoch, fresh))
    return points


def curve_of_history(history: Iterable[Mapping[str, Any]]) -> list[CurvePoint]:
    """From the log of transformers' Trainer, which an artefact keeps as `training.learning_curve`."""
    by_epoch: dict[float, CurvePoint] = {}
    for line in history:
        epoch = _number(line.get("epoch"))
        values = {name: _number(line.get(name)) for name in MEASURED}
        known = {name: value for name, value in values.items() if value is not None}
        if epoch is None or not known:
            continue
        earlier = by_epoch.get(epoch)
        by_epoch[epoch] = CurvePoint(epoch, {**earlier.values, **known} if earlier else known)
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]


def thinned(points: Sequence[CurvePoint], most: int) -> list[CurvePoint]:
    """At most so many: evaluations and both ends stay, of the rest every so many-th."""
    if len(points) <= most:
        return list(points)
    evaluated = [at for at, one in enumerate(points) if "eval_macro_f1" in one.values]
    kept = set(_spread(evaluated, most // 2)) | {0, len(points) - 1}
    rest = [at for at in range(len(points)) if at not in kept]
    kept |= set(_spread(rest, most - len(kept)))
    return [points[at] for at in sorted(kept)]


def _spread(places: Sequence[int], most: int) -> list[int]:
    if len(places) <= most:
        return list(places)
    return [places[number * len(places) // most] for number in range(most)]


def _number(value: object) -> float | None:
    """None for what is no finite number; a diverged loss posts 'nan'."""
    if not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
