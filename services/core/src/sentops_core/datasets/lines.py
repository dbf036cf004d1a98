"""The lines of a text file, whatever encodings it mixes: UTF-8 (with or without mark), UTF-16, Windows-1252."""

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sentops_core.domain.errors import InvalidInput, UnsupportedFormat

_SAMPLE = 64 << 10
_BYTE_WISE = "sentops.windows-1252"
_KNOWN_BINARY = (
    (
        b"PK\x03\x04",
        "zip",
        "a ZIP archive or an Excel workbook; if it is a workbook, name it .xlsx",
    ),
    (b"\xd0\xcf\x11\xe0", "xls", "an old Excel workbook; save it as .xlsx or CSV"),
    (b"PAR1", "parquet", "a Parquet file; name it .parquet"),
    (b"%PDF", "pdf", "a PDF"),
    (b"\x89PNG", "picture", "a picture"),
    (b"\xff\xd8\xff", "picture", "a picture"),
    (b"GIF8", "picture", "a picture"),
    (b"\x1f\x8b", "gzip", "a gzip archive; unpack it first"),
    (b"\x7fELF", "program", "a program"),
)


@dataclass(frozen=True)
class Line:
    """`text` keeps its line end; `cut` lines were longer than the limit and lost their rest."""

    number: int
    text: str
    repaired: bool = False
    cut: bool = False


def _as_windows_1252(error: UnicodeError) -> tuple[str, int]:
    """Bytes that are no UTF-8 one by one: Windows-1252, which is Latin-1 but for quotes, dashes and the euro sign."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    wrong = error.object[error.start : error.end]
    try:
        return wrong.decode("cp1252"), error.end
    except UnicodeDecodeError:
        return wrong.decode("latin-1"), error.end


codecs.register_error(_BYTE_WISE, _as_windows_1252)


def lines(path: Path, limit: int) -> Iterator[Line]:
    """Every line of the file, at most `limit` bytes of each. InvalidInput or UnsupportedFormat if it is no text."""
    sample = _sample(path)
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        yield from _decoded_lines(path, "utf-16", "\n" if b"\n" in sample else "\r", limit)
    elif (
        b"\r" in sample and b"\n" not in sample
    ):  # the line end of old Macs, which Excel still offers
        yield from _decoded_lines(path, "utf-8-sig", "\r", limit)
    else:
        yield from _mixed_lines(path, limit)


def _sample(path: Path) -> bytes:
    with path.open("rb") as file:
        sample = file.read(_SAMPLE)
    if not sample.strip():
        raise InvalidInput(
            "The file is empty: send one with a header line and labelled texts.",
            saying="file_empty",
        )
    for signature, kind, what in _KNOWN_BINARY:
        if sample.startswith(signature):
            raise UnsupportedFormat(
                f"This is not a text file but {what}.", saying=f"file_is_{kind}"
            )
    if not sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        controls = sum(byte < 0x20 and byte not in b"\t\n\r\f\v" for byte in sample)
        if controls > 8 and controls > len(sample) // 50:
            raise UnsupportedFormat(
                "This is a binary file: send CSV, TSV, JSONL, Parquet or XLSX under its own name.",
                saying="file_is_binary",
            )
    return sample


def _mixed_lines(path: Path, limit: int) -> Iterator[Line]:
    with path.open("rb") as file:
        if file.read(3) != codecs.BOM_UTF8:
            file.seek(0)
        number = 0
        while raw := file.readline(limit):
            number += 1
            cut = len(raw) == limit and not raw.endswith(b"\n")
            while cut and (rest := file.readline(limit)) and not rest.endswith(b"\n"):
                pass
            try:
                yield Line(number, raw.decode(), cut=cut)
            except UnicodeDecodeError:
                yield Line(number, raw.decode(errors=_BYTE_WISE), repaired=True, cut=cut)


def _decoded_lines(path: Path, encoding: str, line_end: str, limit: int) -> Iterator[Line]:
    with io.TextIOWrapper(
        path.open("rb"), encoding=encoding, errors="replace", newline=line_end
    ) as file:
        number = 0
        while text := file.readline(limit):
            number += 1
            cut = len(text) == limit and not text.endswith(line_end)
            while cut and (rest := file.readline(limit)) and not rest.endswith(line_end):
                pass
            yield Line(number, text, repaired="\ufffd" in text, cut=cut)
