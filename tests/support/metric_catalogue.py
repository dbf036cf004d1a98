"""grafana/metrics.md as data: what dashboards and rules may ask for. A test holds it to what programs export."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CATALOGUE = Path(__file__).parents[2] / "grafana" / "metrics.md"
_ROW = re.compile(
    r"\| `(?P<name>[a-z0-9_]+)` \| (?P<type>\w+) \| (?P<labels>[^|]*) \| (?P<text>.+) \|"
)


@dataclass(frozen=True, order=True)
class Exported:
    """One metric by the name that queries use; a histogram by the one that its parts begin with."""

    name: str
    type: str
    labels: tuple[str, ...]
    text: str

    @property
    def row(self) -> str:
        labels = ", ".join(f"`{label}`" for label in self.labels)
        return f"| `{self.name}` | {self.type} | {labels or '-'} | {self.text} |"

    @property
    def series(self) -> dict[str, set[str]]:
        """The names that a query can use, with their labels."""
        if self.type != "histogram":
            return {self.name: set(self.labels)}
        return {
            f"{self.name}_{part}": set(self.labels) | ({"le"} if part == "bucket" else set())
            for part in ("bucket", "count", "sum")
        }


def sections(text: str | None = None) -> dict[str, list[Exported]]:
    """What the catalogue lists, by heading."""
    found: dict[str, list[Exported]] = {}
    heading = ""
    for line in (text or CATALOGUE.read_text()).splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
            found[heading] = []
        elif match := _ROW.fullmatch(line):
            labels = tuple(re.findall(r"`(\w+)`", match["labels"]))
            found[heading].append(Exported(match["name"], match["type"], labels, match["text"]))
    return found


def known_series() -> dict[str, set[str]]:
    """Every series of our programs, with its own labels."""
    return {name: labels for one in _all() for name, labels in one.series.items()}


def _all() -> Iterator[Exported]:
    for listed in sections().values():
        yield from listed
