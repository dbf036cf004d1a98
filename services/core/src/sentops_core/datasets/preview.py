"""What reading a file would give, before anything is made of it: first rows, guessed columns, labels and refusals."""

from collections import Counter
from itertools import islice
from pathlib import Path

from sentops_core.datasets.columns import is_called_stars
from sentops_core.datasets.labels import LabelReader, as_stars, built_in_label, same_label
from sentops_core.datasets.limits import DEFAULT_LIMITS, Limits
from sentops_core.datasets.reading import (
    ReadOptions,
    find_columns,
    label_values,
    open_table,
    read_file,
)
from sentops_core.datasets.report import ReadReport
from sentops_core.datasets.tables import Table
from sentops_core.domain.base import Body
from sentops_core.domain.errors import InvalidInput

_FIRST_ROWS = 8
_SHOWN_COLUMNS = 30
_SHOWN_CHARACTERS = 200
_SHOWN_LABELS = 50


class LabelSeen(Body):
    """One label of the file. `meaning` is None where nobody knows; `left_out`: the person does not want such rows."""

    raw: str
    rows: int
    meaning: str | None
    left_out: bool = False
    number: bool = False


class FirstRow(Body):
    """`cells` are cut; `problem` says why the row cannot be read."""

    row: int
    cells: tuple[str, ...]
    problem: str = ""


class Preview(Body):
    """A column is None where neither the person nor its name tells which it is; then `problem` says what to do.

    `problem` is also why the file as a whole would be refused; `report` is there when it was read to its end.
    """

    format: str
    columns: tuple[str, ...]
    has_header: bool
    first: tuple[FirstRow, ...]
    text_column: str | None = None
    label_column: str | None = None
    group_column: str | None = None
    labels: tuple[LabelSeen, ...] = ()
    other_labels: int = 0
    report: ReadReport | None = None
    problem: str = ""
    problem_saying: str = ""
    problem_facts: dict[str, str] = {}


def preview_file(
    path: Path, filename: str, options: ReadOptions | None = None, limits: Limits = DEFAULT_LIMITS
) -> Preview:
    """Blocking. Raises, as `read_file` does, only where the file can be read under no options at all."""
    options = options or ReadOptions()
    table = open_table(path, filename, limits)
    preview = Preview(
        format=table.format,
        columns=table.columns,
        has_header=table.has_header,
        first=_first_rows(table),
    )
    try:
        at = find_columns(table, options)
    except InvalidInput as error:
        return preview.model_copy(update=_named(table, options) | _problem(error))
    labels, others = _labels(label_values(table, at.label), table.columns[at.label], options)
    preview = preview.model_copy(
        update={
            "text_column": table.columns[at.text],
            "label_column": table.columns[at.label],
            "group_column": None if at.group is None else table.columns[at.group],
            "labels": labels,
            "other_labels": others,
        }
    )
    try:
        return preview.model_copy(
            update={"report": read_file(path, filename, options, limits).report}
        )
    except InvalidInput as error:
        report = error.details.get("report")
        return preview.model_copy(
            update=_problem(error)
            | {"report": ReadReport.model_validate(report) if report else None}
        )


def _problem(error: InvalidInput) -> dict[str, object]:
    return {
        "problem": str(error),
        "problem_saying": error.saying,
        "problem_facts": {key: str(value) for key, value in error.facts.items()},
    }


def _first_rows(table: Table) -> tuple[FirstRow, ...]:
    return tuple(
        FirstRow(
            row=record.row,
            cells=tuple(
                cell.strip()[:_SHOWN_CHARACTERS] for cell in record.values[:_SHOWN_COLUMNS]
            ),
            problem=record.problem.message if record.problem else "",
        )
        for record in islice(table.records(), _FIRST_ROWS)
    )


def _named(table: Table, options: ReadOptions) -> dict[str, object]:
    """The columns that a person did name, when the rest is unclear."""
    return {
        key: name if name in table.columns else None
        for key, name in (
            ("text_column", options.text_column),
            ("label_column", options.label_column),
            ("group_column", options.group_column),
        )
    }


def _labels(
    values: Counter[str], column: str, options: ReadOptions
) -> tuple[tuple[LabelSeen, ...], int]:
    """The most frequent labels, those that differ in case or blanks only as one; and how many more there are."""
    rows: Counter[str] = Counter()
    written: dict[str, str] = {}
    for raw, count in values.most_common():
        if raw.strip():
            rows[same_label(raw)] += count
            written.setdefault(same_label(raw), raw.strip())
    reader = LabelReader.of(options.labels, options.label_map)
    scale = _is_scale_of_stars(values, column, options)
    seen = tuple(
        LabelSeen(
            raw=written[key][:_SHOWN_CHARACTERS],
            rows=count,
            meaning=reader.read(written[key])
            if scale or not _is_number(written[key], reader)
            else None,
            left_out=reader.leaves_out(written[key]),
            number=as_stars(written[key]) is not None,
        )
        for key, count in rows.most_common(_SHOWN_LABELS)
    )
    return seen, max(len(rows) - len(seen), 0)


def _is_number(raw: str, reader: LabelReader) -> bool:
    """A number that only a scale of stars could explain."""
    return (
        as_stars(raw) is not None
        and built_in_label(raw) is None
        and same_label(raw) not in reader.own
    )


def _is_scale_of_stars(values: Counter[str], column: str, options: ReadOptions) -> bool:
    try:
        LabelReader.of(options.labels, options.label_map).refuse_other_scales(
            values, column, called_stars=is_called_stars(column)
        )
    except InvalidInput:
        return False
    return True
