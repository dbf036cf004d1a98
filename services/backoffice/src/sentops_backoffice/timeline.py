"""Who served when, as bars on one line of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sentops_core.domain.spells import Spell

_VERSIONS = 12
_THINNEST = 0.6  # of 100: a spell of minutes is still seen


@dataclass(frozen=True)
class Stretch:
    """Places between 0 and 100."""

    at: float
    width: float


@dataclass(frozen=True)
class TimelineRow:
    version: str
    stretches: tuple[Stretch, ...]
    serves: bool


@dataclass(frozen=True)
class Timeline:
    """Of the versions that served last, the newest first; `spells` are the same as a table, newest first."""

    rows: tuple[TimelineRow, ...]
    since: datetime
    until: datetime
    spells: tuple[Spell, ...]


def timeline(spells: Sequence[Spell], *, now: datetime) -> Timeline | None:
    """None while nothing has ever served."""
    names: list[str] = []
    for spell in reversed(spells):
        if spell.version not in names:
            names.append(spell.version)
    names = names[:_VERSIONS]
    shown = [spell for spell in spells if spell.version in names]
    if not shown:
        return None
    start = shown[0].since
    length = max((now - start).total_seconds(), 1.0)

    def stretch(spell: Spell) -> Stretch:
        at = 100 * (spell.since - start).total_seconds() / length
        width = 100 * ((spell.until or now) - spell.since).total_seconds() / length
        width = max(width, _THINNEST)
        return Stretch(round(min(at, 100 - width), 2), round(width, 2))

    rows = tuple(
        TimelineRow(
            name,
            tuple(stretch(spell) for spell in shown if spell.version == name),
            serves=any(spell.version == name and spell.until is None for spell in shown),
        )
        for name in names
    )
    return Timeline(rows, start, now, tuple(reversed(shown)))
