"""What the dataset pages show, put into the words of their reader."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from babel import Locale

from sentops_backoffice import charts
from sentops_backoffice.formats import UNKNOWN, Formats
from sentops_core.datasets.preview import Preview
from sentops_core.datasets.profile import UNKNOWN_LANGUAGE, Lengths, Profile
from sentops_core.datasets.report import BuildReport, ReadReport, Refusals, RefusedRow
from sentops_core.domain.resources import DEFAULT_LABELS
from sentops_core.http.i18n import Words
from sentops_core.store.datasets import VersionRow

_SHOWN_REFUSALS = 100


@dataclass(frozen=True)
class Share:
    """A part of a bar from 0 to 100."""

    label: str
    rows: int
    start: float
    width: float


def in_usual_order(counts: Mapping[str, int]) -> dict[str, int]:
    """The usual labels first, from negative to positive: JSON in the database has forgotten the order."""
    usual = [label for label in DEFAULT_LABELS if label in counts]
    return {label: counts[label] for label in (*usual, *sorted(set(counts).difference(usual)))}


def largest_first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def label_mix(counts: Mapping[str, int]) -> tuple[Share, ...]:
    """Labels one after the other over the whole width."""
    total = sum(counts.values()) or 1
    shares, start = [], 0.0
    for label, rows in in_usual_order(counts).items():
        width = 100 * rows / total
        shares.append(Share(label, rows, round(start, 2), round(width, 2)))
        start += width
    return tuple(shares)


class DatasetWords:
    """Names and sentences about datasets in one language."""

    def __init__(self, words: Words, formats: Formats) -> None:
        self._words = words
        self._formats = formats
        self._languages = Locale(words.language).languages

    def language(self, code: str | None) -> str:
        if not code:
            return self._words("datasets.language.unknown")
        return str(self._languages.get(code, code))

    def source(self, source: str) -> str:
        kind, _, name = source.partition(":")
        key = f"datasets.source.{kind}"
        return self._words(key, name=name) if self._words.knows(key) else source

    def side(self, split: str) -> str:
        return self._words(f"datasets.side.{split}")

    def reason(self, reason: str) -> str:
        return self._words(f"datasets.refusal.{reason}")

    def why(self, row: RefusedRow) -> str:
        """The row's own message: with its facts where they are known, else the reason alone."""
        key = f"datasets.why.{row.reason}"
        facts = dict(row.facts)
        if "label" in facts and row.reason != "unknown_label":
            facts["label"] = self._words.label(facts["label"])
        if "earlier" in facts:
            facts["earlier"] = self._words.label(facts["earlier"])
        try:
            return self._words(key, **facts)
        except KeyError:
            return row.message if self._words.language == "en" else self.reason(row.reason)

    def problem(self, preview: Preview) -> str:
        key = f"problem.{preview.problem_saying}"
        if preview.problem_saying and self._words.knows(key):
            return self._words(key, **preview.problem_facts)
        return preview.problem

    def lengths(self, lengths: Lengths) -> tuple[charts.Bar, ...]:
        first = [0, *lengths.up_to]
        names = [
            f"{self._formats.whole(low + 1)}–{self._formats.whole(high)}"
            for low, high in zip(first, lengths.up_to, strict=False)
        ]
        names.append(self._words("datasets.longer", length=self._formats.whole(lengths.up_to[-1])))
        return self._bars(dict(zip(names, lengths.counts, strict=True)))

    def languages(self, profile: Profile) -> tuple[charts.Bar, ...]:
        return self._bars(
            {self.language(code): rows for code, rows in largest_first(profile.languages).items()}
        )

    def sources(self, profile: Profile) -> tuple[charts.Bar, ...]:
        return self._bars(
            {self.source(name): rows for name, rows in largest_first(profile.sources).items()}
        )

    def labels(self, counts: Mapping[str, int]) -> tuple[charts.Bar, ...]:
        return self._bars(in_usual_order(counts))

    def shortly(self, counts: Mapping[str, int] | None) -> str:
        """Languages by their share, the three largest."""
        if counts is None:
            return UNKNOWN
        total = sum(counts.values()) or 1
        known = [
            (code, rows) for code, rows in largest_first(counts).items() if code != UNKNOWN_LANGUAGE
        ][:3]
        return ", ".join(
            f"{self.language(code)} {self._formats.percent(rows / total)}" for code, rows in known
        )

    def _bars(self, counts: Mapping[str, int]) -> tuple[charts.Bar, ...]:
        total = sum(counts.values()) or 1
        texts = {
            name: f"{self._formats.whole(rows)} · {self._formats.percent(rows / total)}"
            for name, rows in counts.items()
        }
        return charts.bars(dict(counts), texts)


@dataclass(frozen=True)
class RefusedPart:
    """One heap of refused rows: `what` is the word for its heading; the first of them in full."""

    what: str
    refusals: Refusals
    shown: tuple[RefusedRow, ...]


def report_of(version: VersionRow) -> BuildReport:
    return BuildReport.model_validate(version.report)


def refused_parts(report: BuildReport) -> list[RefusedPart]:
    """What was refused while reading the file, then what was left out of the version."""
    heaps = [("file", report.file.refused)] if report.file else []
    heaps.append(("left_out", report.left_out))
    return [
        RefusedPart(what, refusals, refusals.first[:_SHOWN_REFUSALS])
        for what, refusals in heaps
        if refusals.count
    ]


def refused_rows(report: BuildReport) -> list[RefusedRow]:
    """Every refused row that the report has in full."""
    return [*(report.file.refused.first if report.file else ()), *report.left_out.first]


def refused_of(report: ReadReport | None) -> list[RefusedPart]:
    if report is None or not report.refused.count:
        return []
    return [RefusedPart("file", report.refused, report.refused.first[:_SHOWN_REFUSALS])]


def rows_told(parts: Sequence[RefusedPart]) -> bool:
    """Whether every refused row is in the download, too."""
    return all(part.refusals.count == len(part.refusals.first) for part in parts)
