"""What people typed into a form, turned into values of the API, each mistake at its field."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from babel.numbers import format_decimal
from pydantic import TypeAdapter, ValidationError

from sentops_core.http.i18n import Words

_DECIMAL = re.compile(r"(\d+(\.\d*)?|\.\d+)(e[-+]?\d{1,3})?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Bounds:
    """Of a number that may be typed; `above` excludes the lower end."""

    least: float
    most: float
    whole: bool = True
    above: bool = False


@dataclass(frozen=True)
class Mistake:
    """`word` is the sentence `<page>.wrong.<word>`, or else `training.wrong.<word>`, said with `values`."""

    word: str
    values: Mapping[str, str | float] = field(default_factory=dict)

    def in_words(self, words: Words, page: str = "training") -> str:
        values = {
            name: value
            if isinstance(value, str)
            else str(format_decimal(value, "#,##0.###", locale=words.language))
            for name, value in self.values.items()
        }
        key = f"{page}.wrong.{self.word}"
        return words(key if words.knows(key) else f"training.wrong.{self.word}", **values)


@dataclass(frozen=True)
class FilledIn:
    """`body` can be sent when there are no `mistakes`."""

    body: dict[str, Any]
    mistakes: dict[str, Mistake]


class Reading:
    """Fields as they were typed; what is wrong is kept in `mistakes`, by field."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self.given = given
        self.mistakes: dict[str, Mistake] = {}

    def choice(self, name: str, kind: Any, default: Any) -> Any:
        try:
            return kind(self.given[name]) if name in self.given else default
        except ValueError:
            self.mistakes[name] = Mistake("choice")
            return default

    def number(self, name: str, bounds: Bounds) -> str | None:
        """As the API takes decimals; a comma is a decimal point as well."""
        text = self.given.get(name)
        if text is None:
            return None
        text = text.replace(",", ".")
        matches = text.isascii() and (
            text.isdecimal() if bounds.whole else _DECIMAL.fullmatch(text) is not None
        )
        inside = (
            matches
            and bounds.least <= float(text) <= bounds.most
            and not (bounds.above and float(text) == bounds.least)
        )
        if not inside:
            values = {"least": bounds.least, "most": bounds.most}
            word = "whole" if bounds.whole else "above" if bounds.above else "number"
            self.mistakes[name] = Mistake(word, values)
            return None
        return text if bounds.whole else f"0{text}" if text.startswith(".") else text.rstrip(".")

    def whole(self, name: str, bounds: Bounds) -> int | None:
        text = self.number(name, bounds)
        return None if text is None else int(text)

    def checked(self, name: str, value: str | None, kind: Any, word: str = "") -> str | None:
        if value is not None:
            try:
                TypeAdapter(kind).validate_python(value)
            except ValidationError:
                self.mistakes[name] = Mistake(word or name)
        return value
