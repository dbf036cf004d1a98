"""One form for a text, and one hash for what it says: the identity of examples, predictions and dataset rows."""

import hashlib
import re
import unicodedata

_LINE_BREAKS = re.compile("\r\n|[\r\u2028\u2029\u0085\v\f]")
_BLANKS = re.compile(r"[^\S\n]+")
# Control characters and byte-order marks carry nothing; PostgreSQL refuses NUL outright.
_NOISE = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ufeff]")
_LONE_SURROGATES = re.compile("[\ud800-\udfff]")  # JSON can carry them, UTF-8 cannot


def normalise(text: str) -> str:
    """The text as it is kept: NFC, no control characters, single blanks, one kind of line break, stripped."""
    if text.isascii() and text.isprintable() and "  " not in text:  # most texts: no work but this
        return text.strip(" ")
    clean = _NOISE.sub("", _LINE_BREAKS.sub("\n", _LONE_SURROGATES.sub("\ufffd", text)))
    folded = _BLANKS.sub(" ", unicodedata.normalize("NFC", clean))
    return "\n".join(line.strip(" ") for line in folded.split("\n")).strip()


def content_hash(text: str) -> bytes:
    """SHA-256 of the normalised text with all white space folded: texts that differ only in white space are one."""
    return hashlib.sha256(" ".join(normalise(text).split()).encode()).digest()
