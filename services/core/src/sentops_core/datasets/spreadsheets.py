"""CSV that no spreadsheet mistakes for a program, and how what that changes is undone.

A cell that starts with = + - @, a tab or a line end gets a ' before it, and so does one that starts with such a sign
after apostrophes of its own. Undone by taking one ' away wherever apostrophes stand before such a sign.
"""

import csv
import io
import re
from collections.abc import Sequence

# The columns of our own exports: a CSV file with just these comes from one, and its texts are restored.
EXPORT_COLUMNS = ("content_hash", "text", "label", "side", "source", "language")

_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_NEUTRALISED = re.compile(r"'+[=+\-@\t\r\n＝＋－＠]")


def neutral(cell: str) -> str:
    """The cell as a spreadsheet shows it and does not run it."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def restored(cell: str) -> str:
    """What `neutral` was given."""
    return cell[1:] if _NEUTRALISED.match(cell) else cell


def csv_lines(rows: Sequence[Sequence[str]]) -> str:
    """Rows as RFC 4180 has them, every cell neutral."""
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\r\n").writerows(
        [neutral(cell) for cell in row] for row in rows
    )
    return lines.getvalue()
