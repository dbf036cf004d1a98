"""Who served when, from the moments at which versions went live."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime


@dataclass(frozen=True)
class Arrival:
    """A version began to serve everybody."""

    version: str
    at: datetime


@dataclass(frozen=True)
class Return:
    """A version was taken back; `why` is what was written down."""

    version: str
    at: datetime
    why: str


@dataclass(frozen=True)
class Spell:
    """One stretch of serving; `until` is None while it lasts, `taken_back` says why it ended when not by a successor."""

    version: str
    since: datetime
    until: datetime | None = None
    taken_back: str = ""


def spells(arrivals: Sequence[Arrival], returns: Sequence[Return] = ()) -> list[Spell]:
    """Oldest first; one version that arrives twice in a row served all along."""
    found: list[Spell] = []
    for arrival in sorted(arrivals, key=lambda one: one.at):
        if found and found[-1].version == arrival.version:
            continue
        if found:
            found[-1] = replace(found[-1], until=arrival.at)
        found.append(Spell(arrival.version, arrival.at))
    return [_with_reason(spell, returns) for spell in found]


def _with_reason(spell: Spell, returns: Sequence[Return]) -> Spell:
    why = [
        one.why
        for one in returns
        if one.version == spell.version
        and one.at >= spell.since
        and (spell.until is None or one.at <= spell.until)
    ]
    return replace(spell, taken_back=why[-1]) if why and spell.until else spell
