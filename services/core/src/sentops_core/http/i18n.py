"""The words of pages: one table per language, all with the same keys; `locales/<language>/*.json` of each program."""

import json
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

LANGUAGES = ("en", "it")
DEFAULT = "en"
COOKIE = "sentops_language"
COOKIE_SECONDS = 365 * 24 * 3600

Tables = Mapping[str, Mapping[str, str]]


def load_tables(package: str) -> Tables:
    """All words of a program; ValueError when two files give the same key."""
    return MappingProxyType({language: _table(package, language) for language in LANGUAGES})


def _table(package: str, language: str) -> Mapping[str, str]:
    table: dict[str, str] = {}
    folder = files(package).joinpath("locales", language)
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        words: dict[str, str] = json.loads(file.read_bytes())
        if twice := table.keys() & words.keys():
            raise ValueError(f"{language}/{file.name} says {min(twice)!r} a second time")
        table |= words
    return MappingProxyType(table)


class Words:
    """`words("key", name=value)`: the sentence in one language."""

    def __init__(self, language: str, tables: Tables) -> None:
        self.language = language
        self._table = tables[language]

    def __call__(self, key: str, **values: object) -> str:
        return self._table[key].format(**values)

    def label(self, label: str) -> str:
        """A label as people say it; labels we have no word for are shown as they are."""
        return self._table.get(f"label.{label}", label.replace("_", " ").capitalize())

    def knows(self, key: str) -> bool:
        return key in self._table

    def starting(self, prefix: str) -> dict[str, str]:
        """The part of the table that a page's script needs."""
        return {key: text for key, text in self._table.items() if key.startswith(prefix)}


def pick_language(asked: str | None, remembered: str | None, accept: str) -> str:
    """The one chosen on the page, else the remembered one, else the browser's favourite that we speak."""
    for language in (asked, remembered):
        if language in LANGUAGES:
            return language
    ranked = sorted(_accepted(accept), key=lambda pair: -pair[1])
    return next((code for code, weight in ranked if code in LANGUAGES and weight > 0), DEFAULT)


def _accepted(header: str) -> list[tuple[str, float]]:
    """`it-IT,it;q=0.9` as [("it", 1.0), ("it", 0.9)]; what is malformed counts least."""
    found = []
    for part in header.split(",")[:20]:
        code, _, rest = part.strip().partition(";")
        _, _, weight = rest.partition("q=")
        try:
            found.append((code.split("-")[0].lower(), float(weight) if weight else 1.0))
        except ValueError:
            found.append((code.split("-")[0].lower(), 0.0))
    return found
