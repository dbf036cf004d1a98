"""A file that somebody sent, as labelled rows and a report of what became of every other row."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sentops_core.datasets import columns as guess
from sentops_core.datasets.csv_file import csv_table
from sentops_core.datasets.jsonl_file import jsonl_table
from sentops_core.datasets.labels import LabelReader
from sentops_core.datasets.limits import DEFAULT_LIMITS, Limits
from sentops_core.datasets.parquet_file import parquet_table
from sentops_core.datasets.report import ReadReport, Refusal, Refusals, RefusedRow
from sentops_core.datasets.spreadsheets import EXPORT_COLUMNS, restored
from sentops_core.datasets.tables import Problem, Record, Table
from sentops_core.datasets.xlsx_file import xlsx_table
from sentops_core.domain.errors import InvalidInput, TooLarge, UnsupportedFormat
from sentops_core.domain.resources import DEFAULT_LABELS
from sentops_core.domain.text import content_hash, normalise

_READERS: Mapping[str, Callable[[Path, Limits], Table]] = {
    ".csv": csv_table,
    ".txt": csv_table,
    ".tsv": csv_table,
    ".tab": csv_table,
    ".jsonl": jsonl_table,
    ".ndjson": jsonl_table,
    ".parquet": parquet_table,
    ".xlsx": xlsx_table,
}
_PROFILED_VALUES = 10_000


@dataclass(frozen=True)
class ReadOptions:
    """What the person says about the file; what is left out is guessed from the header."""

    text_column: str | None = None
    label_column: str | None = None
    group_column: str | None = None
    label_map: Mapping[str, str | None] = field(default_factory=dict)
    labels: tuple[str, ...] = DEFAULT_LABELS


@dataclass(frozen=True)
class LabelledRow:
    """`text` is normalised; `group` keeps rows that belong together on one side of the split."""

    row: int
    row_id: str
    text: str
    label: str
    group: str | None = None


@dataclass(frozen=True)
class Reading:
    rows: tuple[LabelledRow, ...]
    report: ReadReport


@dataclass(frozen=True)
class Columns:
    text: int
    label: int
    id: int | None
    group: int | None


def read_file(
    path: Path, filename: str, options: ReadOptions | None = None, limits: Limits = DEFAULT_LIMITS
) -> Reading:
    """Blocking. `filename` says the format; InvalidInput, TooLarge or UnsupportedFormat say what to change."""
    options = options or ReadOptions()
    table = open_table(path, filename, limits)
    at = find_columns(table, options)
    labels = LabelReader.of(options.labels, options.label_map)
    labels.refuse_other_scales(
        label_values(table, at.label),
        table.columns[at.label],
        called_stars=guess.is_called_stars(table.columns[at.label]),
    )
    return _Collector(table, at, labels, limits).collect()


def open_table(path: Path, filename: str, limits: Limits = DEFAULT_LIMITS) -> Table:
    """The file as a table; errors as those of `read_file`."""
    reader = _READERS.get(Path(filename).suffix.lower())
    if reader is None:
        raise UnsupportedFormat(
            f"{filename[:100]!r} is of no known kind: send .csv, .tsv, .jsonl, .parquet or .xlsx.",
            saying="file_unknown_kind",
            facts={"name": filename[:100]},
        )
    return reader(path, limits)


def find_columns(table: Table, options: ReadOptions) -> Columns:
    """Where the text, the label and the rest are: as said, else as guessed; InvalidInput when neither tells."""
    if not table.has_header and options.text_column is None and options.label_column is None:
        return _columns_by_content(table, options)
    label = (
        guess.named_column(table.columns, options.label_column, "label_column")
        if options.label_column
        else guess.label_column(table.columns)
    )
    text = (
        guess.named_column(table.columns, options.text_column, "text_column")
        if options.text_column
        else guess.text_column(table.columns)
    )
    if text == label:
        raise InvalidInput(
            f"Column {table.columns[text]!r} cannot be both the text and the label.",
            saying="column_twice",
            facts={"column": table.columns[text][:60]},
        )
    group = (
        guess.named_column(table.columns, options.group_column, "group_column")
        if options.group_column
        else None
    )
    return Columns(text, label, guess.id_column(table.columns), group)


def _columns_by_content(table: Table, options: ReadOptions) -> Columns:
    """Without a header: the first row was recognised because exactly one of its two cells is a label."""
    first = next(record for record in table.records() if record.problem is None)
    label = 0 if LabelReader.of(options.labels, options.label_map).read(first.values[0]) else 1
    return Columns(text=1 - label, label=label, id=None, group=None)


def label_values(table: Table, label: int) -> Counter[str]:
    """How often each cell of the label column occurs; past ten thousand different ones only those seen before."""
    values: Counter[str] = Counter()
    for record in table.records():
        if record.problem is None and (
            len(values) < _PROFILED_VALUES or record.values[label] in values
        ):
            values[record.values[label]] += 1
    return values


@dataclass
class _Collector:
    """One walk over the table: keeps good rows, and says of each other one why not."""

    table: Table
    at: Columns
    labels: LabelReader
    limits: Limits
    first_seen: dict[bytes, LabelledRow] = field(default_factory=dict)
    seen: int = 0
    repaired: int = 0

    def collect(self) -> Reading:
        refused = Refusals.of(self._refusals())
        rows = tuple(self.first_seen.values())
        report = self._report(refused)
        if self.seen == 0:
            raise InvalidInput("The file names its columns but has no rows.", saying="file_no_rows")
        if not rows:
            raise InvalidInput(
                f"None of the {self.seen} rows can be used ({refused.in_words()}).",
                details={"report": _as_json(report)},
                saying="file_nothing_usable",
                facts={"rows": self.seen},
            )
        return Reading(rows, report)

    def _refusals(self) -> Iterator[RefusedRow]:
        for record in self.table.records():
            self.seen += 1
            if self.seen > self.limits.rows:
                raise TooLarge(
                    f"The file has more than {self.limits.rows} rows: send it in parts.",
                    saying="file_many_rows",
                    facts={"most": self.limits.rows},
                )
            self.repaired += record.repaired
            problem = record.problem or self._keep(record)
            if problem is not None:
                yield RefusedRow(
                    row=record.row,
                    row_id=self._id(record),
                    reason=problem.reason,
                    message=problem.message,
                    facts=dict(problem.facts),
                )

    def _keep(self, record: Record) -> Problem | None:
        raw_label = record.values[self.at.label]
        text = normalise(self._text(record))
        if not text:
            return Problem(Refusal.EMPTY_TEXT, "the text is empty")
        if len(text) > self.limits.text_characters:
            return Problem(
                Refusal.TOO_LONG,
                f"the text has {len(text)} characters; at most {self.limits.text_characters}",
                {"characters": str(len(text)), "most": str(self.limits.text_characters)},
            )
        if not raw_label.strip():
            return Problem(Refusal.MISSING_LABEL, "the label is missing")
        shown = raw_label.strip()[:40]
        if self.labels.leaves_out(raw_label):
            message = f'rows labelled "{shown}" are left out, as chosen'
            return Problem(Refusal.LABEL_LEFT_OUT, message, {"label": shown})
        label = self.labels.read(raw_label)
        if label is None:
            message = self.labels.why_unknown(raw_label)
            return Problem(Refusal.UNKNOWN_LABEL, message, {"label": shown})
        key = content_hash(text)
        if earlier := self.first_seen.get(key):
            return _seen_before(earlier, label)
        group = record.values[self.at.group].strip() if self.at.group is not None else ""
        self.first_seen[key] = LabelledRow(record.row, self._id(record), text, label, group or None)
        return None

    def _text(self, record: Record) -> str:
        cell = record.values[self.at.text]
        is_export = self.table.format == "csv" and self.table.columns == EXPORT_COLUMNS
        return restored(cell) if is_export else cell

    def _id(self, record: Record) -> str:
        if self.at.id is None or len(record.values) <= self.at.id:
            return ""
        return normalise(record.values[self.at.id])[:100]

    def _report(self, refused: Refusals) -> ReadReport:
        names = self.table.columns
        return ReadReport(
            format=self.table.format,
            delimiter=self.table.delimiter,
            columns=names,
            text_column=names[self.at.text],
            label_column=names[self.at.label],
            id_column=None if self.at.id is None else names[self.at.id],
            group_column=None if self.at.group is None else names[self.at.group],
            rows=self.seen,
            kept=len(self.first_seen),
            repaired_lines=self.repaired,
            refused=refused,
        )


def _seen_before(earlier: LabelledRow, label: str) -> Problem:
    where = f"row {earlier.row_id}" if earlier.row_id else f"line {earlier.row}"
    facts = {"where": earlier.row_id or str(earlier.row)}
    if earlier.label == label:
        return Problem(Refusal.DUPLICATE, f"the same text as {where}", facts)
    return Problem(
        Refusal.CONFLICT,
        f"the same text as {where}, which is {earlier.label}, not {label}",
        facts | {"label": label, "earlier": earlier.label},
    )


def _as_json(report: ReadReport) -> dict[str, object]:
    return report.model_dump(mode="json")
