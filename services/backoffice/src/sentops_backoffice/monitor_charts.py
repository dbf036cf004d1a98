"""The monitor's figures as pictures: the same that Grafana's dashboards of quality and feedback begin with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from babel.dates import format_datetime

from sentops_backoffice.charts import Bar, LineChart, Series, bars, line_chart
from sentops_backoffice.formats import Formats
from sentops_backoffice.monitored import Course, Drifts, Monitored
from sentops_core.domain.drift import Feature
from sentops_core.http.i18n import Words
from sentops_core.store.shown_figures import Point

_FULL_BAR = 0.5  # a distance that nobody overlooks; longer ones set the scale themselves
_BY_HOUR = {"1h": "HH:mm", "24h": "d MMM HH:mm"}
Read = Callable[[Point], float | None]


@dataclass(frozen=True)
class DriftBar:
    """`share` of the longest bar, 0 to 100; `drifted` is None where nothing can be said."""

    feature: str
    distance: float | None
    share: float
    samples: int | None
    drifted: bool | None


def course_charts(shown: Monitored, words: Words, formats: Formats) -> list[tuple[str, LineChart]]:
    """(title, chart) of accuracy, macro-F1 and feedback rate, of the champion and the version before it."""
    course, champion = shown.course, shown.champion or ""
    x = [_hour(hour, shown.window, words.language) for hour in course.hours]

    def chart(word: str, *lines: Series, highest: float = 1) -> tuple[str, LineChart]:
        made = line_chart(
            x,
            lines,
            x_name=words("overview.hour" if shown.window in _BY_HOUR else "overview.day"),
            bounds=(0, highest),
            say=formats.percent,
            say_on_axis=formats.share,
        )
        return words(f"overview.course.{word}", window=words(f"window.{shown.window}")), made

    def both(read: Read) -> list[Series]:
        lines = [Series(champion, _values(course, course.champion, read))]
        if course.previous and shown.previous:
            name = words("overview.before", version=shown.previous)
            lines.append(Series(name, _values(course, course.previous, read)))
        return lines

    accuracy, *others = both(lambda point: point.accuracy)
    ends = [
        Series(words("overview.agreement.low"), _values(course, course.champion, lambda one: one.accuracy_low)),
        Series(words("overview.agreement.high"), _values(course, course.champion, lambda one: one.accuracy_high)),
    ]  # fmt: skip
    rates = both(lambda point: point.feedback_rate)
    known = [one for line in rates for one in line.values if one is not None]
    return [
        chart("accuracy", accuracy, *ends, *others),
        chart("macro_f1", *both(lambda point: point.macro_f1)),
        chart("feedback", *rates, highest=max(known, default=0) * 1.2 or 1),
    ]


def drift_bars(drifts: Drifts | None) -> tuple[DriftBar, ...]:
    """Every feature, in one order always."""
    found = drifts.features if drifts else {}
    distances = [one.movement.distance for one in found.values() if one.movement]
    longest = max([_FULL_BAR, *distances])
    drawn = []
    for feature in Feature:
        one = found.get(feature)
        movement = one.movement if one else None
        drawn.append(
            DriftBar(
                feature=feature.value,
                distance=movement.distance if movement else None,
                share=round(100 * movement.distance / longest, 1) if movement else 0.0,
                samples=one.samples if one else None,
                drifted=movement.drifted if movement else None,
            )
        )
    return tuple(drawn)


def mix_bars(
    counts: Mapping[str, int], beside: Mapping[str, int], formats: Formats
) -> tuple[Bar, ...]:
    """Shares by label, of the labels of both, so that two lists can be compared line by line."""
    total = sum(counts.values())
    if not total:
        return ()
    shares = {label: counts.get(label, 0) / total for label in sorted(counts.keys() | beside)}
    return bars({**shares}, {label: formats.percent(share) for label, share in shares.items()})


def _values(course: Course, points: Mapping[datetime, Point], read: Read) -> list[float | None]:
    return [read(points[hour]) if hour in points else None for hour in course.hours]


def _hour(moment: datetime, window: str, language: str) -> str:
    return format_datetime(moment, _BY_HOUR.get(window, "d MMM"), locale=language)
