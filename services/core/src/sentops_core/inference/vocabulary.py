"""The tokenizer of an artefact, shared by the versions that have the same."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from sentops_core.domain.artifact import TOKENIZER
from sentops_core.domain.errors import ArtifactError
from sentops_core.inference.words import first_line


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """A tokenizer set to truncate, and what it was read from."""

    tokenizer: Tokenizer
    sha256: str
    max_length: int

    @classmethod
    def read(cls, path: Path, max_length: int, known: Iterable["Vocabulary"] = ()) -> "Vocabulary":
        """The one that is known already, or the file's; ArtifactError when the file is no tokenizer."""
        try:
            content = path.read_bytes()
            sha256 = hashlib.sha256(content).hexdigest()
            for one in known:
                if (one.sha256, one.max_length) == (sha256, max_length):
                    return one
            tokenizer = Tokenizer.from_buffer(content)
            tokenizer.no_padding()
            tokenizer.enable_truncation(max_length=max_length)
        except Exception as error:  # the library raises plain Exception
            raise ArtifactError(f"{TOKENIZER} cannot be read: {first_line(error)}") from error
        return cls(tokenizer, sha256, max_length)
