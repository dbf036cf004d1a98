"""Geometry of charts: values in, coordinates out. Templates draw them (charts.html), each with its table behind it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_WIDTH, _HEIGHT = 640.0, 220.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, 12.0, 12.0, 26.0
# Lines differ by their dashes, so that nobody needs the colours.
DASHES = ("", "6 4", "2 3", "10 4 2 4", "1 5", "12 3")


@dataclass(frozen=True)
class Tick:
    at: float
    text: str


@dataclass(frozen=True)
class Line:
    name: str
    dash: str
    number: int  # 1.., for colours
    strokes: tuple[str, ...]  # `points` of polylines: one for each stretch without a gap
    dots: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class LineChart:
    """Over a width of 640 and a height of 220."""

    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    # The table behind: a heading per column, then rows.
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    width: float = _WIDTH
    height: float = _HEIGHT
    left: float = _LEFT
    right: float = _WIDTH - _RIGHT
    bottom: float = _HEIGHT - _BOTTOM

    @property
    def empty(self) -> bool:
        return not any(line.dots for line in self.lines)


@dataclass(frozen=True)
class Series:
    """`values` belong to the chart's `x`, in order; None is a gap."""

    name: str
    values: Sequence[float | None]


def line_chart(
    x: Sequence[str],
    series: Sequence[Series],
    *,
    x_name: str,
    digits: int = 3,
    bounds: tuple[float, float] | None = None,
    say: Callable[[float], str] | None = None,
    say_on_axis: Callable[[float], str] | None = None,
) -> LineChart:
    """`x` are the labels of evenly spaced places; without `bounds` the values decide what is shown.

    `say` writes a value as the reader's language does, `say_on_axis` a round one; else it has `digits` digits.
    """
    on_axis = say_on_axis or say or (lambda value: f"{value:.{digits}g}")
    in_table = say or (lambda value: f"{value:.{digits}f}")
    known = [value for one in series for value in one.values if value is not None]
    low, high = bounds or _bounds(known)
    step = (_WIDTH - _LEFT - _RIGHT) / max(len(x) - 1, 1)

    def place(index: int, value: float) -> tuple[float, float]:
        share = (value - low) / (high - low)
        y = _HEIGHT - _BOTTOM - min(max(share, 0), 1) * (_HEIGHT - _TOP - _BOTTOM)
        return round(_LEFT + index * step, 1), round(y, 1)

    lines = []
    for number, one in enumerate(series):
        stretches = _stretches(one.values)
        dots = tuple(place(at, value) for at, value in enumerate(one.values) if value is not None)
        strokes = tuple(
            " ".join("{},{}".format(*place(at, value)) for at, value in stretch)
            for stretch in stretches
            if len(stretch) > 1
        )
        dash = DASHES[number % len(DASHES)]
        lines.append(Line(one.name, dash, number % len(DASHES) + 1, strokes, dots))
    every = max(1, math.ceil(len(x) / 8))
    return LineChart(
        lines=tuple(lines),
        x_ticks=tuple(
            Tick(round(_LEFT + at * step, 1), text) for at, text in enumerate(x) if at % every == 0
        ),
        y_ticks=tuple(Tick(place(0, value)[1], on_axis(value)) for value in _nice(low, high)),
        head=(x_name, *(one.name for one in series)),
        rows=tuple(
            (text, *(_text(one.values[at], in_table) for one in series))
            for at, text in enumerate(x)
        ),
    )


def _text(value: float | None, say: Callable[[float], str]) -> str:
    return "–" if value is None else say(value)


def _stretches(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    found: list[list[tuple[int, float]]] = [[]]
    for at, value in enumerate(values):
        if value is None:
            found.append([])
        else:
            found[-1].append((at, value))
    return [stretch for stretch in found if stretch]


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    margin = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    return low - margin, high + margin


def _nice(low: float, high: float) -> list[float]:
    """Four to six round values between the two."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    first = math.ceil(low / step)
    return [round(number * step, 10) for number in range(first, math.floor(high / step) + 1)]


@dataclass(frozen=True)
class Bar:
    name: str
    value: float
    share: float  # of the longest, 0..100
    text: str
    tone: str  # positive, negative, neutral, or "" for the accent


def bars(values: Mapping[str, float], texts: Mapping[str, str] | None = None) -> tuple[Bar, ...]:
    """In the given order, each relative to the largest."""
    longest = max(values.values(), default=0) or 1
    return tuple(
        Bar(
            name=name,
            value=value,
            share=round(100 * value / longest, 1),
            text=(texts or {}).get(name, f"{value:g}"),
            tone=name if name in {"positive", "negative", "neutral"} else "",
        )
        for name, value in values.items()
    )


@dataclass(frozen=True)
class Cell:
    count: int
    share: float  # of its row
    level: int  # 0..9, for the shade
    right: bool


@dataclass(frozen=True)
class Confusion:
    labels: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]  # true label, what was answered


def confusion(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> Confusion:
    """`counts[true][answered]`, in the order of `labels`."""
    rows = []
    for at, row in enumerate(counts):
        total = sum(row)
        cells = tuple(
            Cell(count, count / total if total else 0.0, round(9 * count / total) if total else 0, at == to)
            for to, count in enumerate(row)
        )  # fmt: skip
        rows.append((labels[at], cells))
    return Confusion(tuple(labels), tuple(rows))


@dataclass(frozen=True)
class Interval:
    """Places between 0 and 100 on a scale from `low_end` to `high_end`."""

    low: float
    high: float
    value: float


def interval(
    value: float, low: float, high: float, *, ends: tuple[float, float] = (0.0, 1.0)
) -> Interval:
    def at(number: float) -> float:
        return round(100 * min(max((number - ends[0]) / (ends[1] - ends[0]), 0), 1), 1)

    return Interval(low=at(low), high=at(high), value=at(value))
