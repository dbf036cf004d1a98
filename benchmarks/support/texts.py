"""Short English reviews to ask for: from a file, from the sample data's package, or made up, always the same."""

import asyncio
import csv
import hashlib
import random
from pathlib import Path

from sentops_cli import sample
from sentops_cli.outcome import CommandError

_SUBJECTS = "camera|player|router|phone|battery|screen|remote|software|manual|case|lens|support"
_OPENINGS = (
    "i love that the|honestly , the|after two weeks the|for this price the|my second one : the"
)
_VERDICTS = (
    "works exactly as advertised|stopped working without any warning|is better than i expected|"
    "feels cheap and the buttons stick|does what it should , nothing more|is worth every penny|"
    "had to be sent back twice|is easy to set up and to use|drains far too quickly"
)
_ENDINGS = "|.|!|, which surprised me .|, so i would not buy it again .|, and it looks good too ."

Row = tuple[str, str]


def texts_of(path: Path) -> list[str]:
    """The column `text` of a CSV file, or the lines of any other file."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            found = [row["text"] for row in csv.DictReader(file)]
    else:
        found = path.read_text(encoding="utf-8").splitlines()
    texts = list(dict.fromkeys(text.strip() for text in found if text.strip()))
    if not texts:
        raise SystemExit(
            f"{path} holds no texts: a CSV needs a column 'text', any other file lines"
        )
    return texts


def sample_rows(folder: Path) -> list[Row]:
    """The rated review snippets of the platform's sample data, mixed; [] if pip cannot fetch them.

    They are fetched once and then kept in `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        sdist = asyncio.run(sample.fetch_sdist(folder))
        rows = [(row.text, row.label) for row in sample.review_snippets(sample.snippets_in(sdist))]
    except CommandError:
        return []
    return sorted(dict(rows).items(), key=lambda row: hashlib.sha256(row[0].encode()).digest())


def made_up_reviews(count: int, *, seed: int = 1) -> list[str]:
    """Sentences of about the snippets' length, each another one."""
    chance = random.Random(seed)
    parts = [part.split("|") for part in (_OPENINGS, _SUBJECTS, _VERDICTS, _ENDINGS)]
    found: dict[str, None] = {}
    while len(found) < count:
        sentences = [
            " ".join(chance.choice(part) for part in parts).strip()
            for _ in range(chance.choice((1, 1, 2)))
        ]
        found[" ".join(sentences)] = None
    return list(found)
