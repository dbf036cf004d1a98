"""Answering from an artefact folder: tokenise, run the ONNX graph, turn logits into calibrated scores.

Texts go through the session one at a time. Dynamically quantised graphs scale their activations over the whole
batch, so the same text would otherwise get another answer in other company; and on a CPU one text already keeps
the matrix kernels at about 90 % of their peak, so padding a batch only adds work.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pydantic import ValidationError
from tokenizers import Encoding, Tokenizer

from sentops_core.domain.artifact import (
    CONFIG,
    GOLDEN,
    MODEL,
    TOKENIZER,
    GoldenPrediction,
    InferenceConfig,
)
from sentops_core.domain.errors import ArtifactError

# No tokenizer in use yields fewer tokens than one per 32 characters of a real text, so what lies beyond would be
# truncated anyway; cutting it first makes a text of a megabyte cost no more than a page.
_CHARACTERS_PER_TOKEN = 32
_INPUTS = ("input_ids", "attention_mask")
_OUTPUT = "logits"


@dataclass(frozen=True, slots=True)
class Scored:
    """One answer; `truncated` says that the end of the text was not read."""

    label: str
    score: float
    scores: dict[str, float]
    truncated: bool


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
            raise ArtifactError(f"{TOKENIZER} cannot be read: {_first_line(error)}") from error
        return cls(tokenizer, sha256, max_length)


class Scorer:
    """A loaded artefact. Safe to call from several threads at once: each call computes on its own thread."""

    def __init__(
        self, config: InferenceConfig, vocabulary: "Vocabulary", session: Any, folder: Path
    ) -> None:
        self.config = config
        self.folder = folder
        self.vocabulary = vocabulary
        self._session = session

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1, beside: Iterable["Scorer"] = ()) -> Self:
        """The scorer of an artefact folder; ArtifactError when the folder cannot be served.

        Versions mostly share their base's tokenizer, and a multilingual one takes seconds and 300 MB: it is taken
        from the scorers `beside` which it will live, if one has the same.
        """
        config = _read_config(folder / CONFIG)
        known = [scorer.vocabulary for scorer in beside]
        vocabulary = Vocabulary.read(folder / TOKENIZER, config.max_length, known)
        scorer = cls(config, vocabulary, _open_session(folder / MODEL, threads), folder)
        scorer._check_graph()
        return scorer

    def score(self, texts: list[str]) -> list[Scored]:
        """Label and probabilities of each text, in order."""
        return [self.score_one(text) for text in texts]

    def score_one(self, text: str) -> Scored:
        encoding, truncated = self._encode(text)
        probabilities = self._probabilities(self._run(encoding))
        best = int(np.argmax(probabilities))
        scores = dict(zip(self.config.labels, probabilities.tolist(), strict=True))
        label = self.config.labels[best]
        return Scored(label=label, score=scores[label], scores=scores, truncated=truncated)

    def logits(self, texts: list[str]) -> NDArray[np.float32]:
        """Raw logits of shape (texts, labels), before the temperature."""
        rows = [self._run(self._encode(text)[0]) for text in texts]
        return np.stack(rows) if rows else np.empty((0, len(self.config.labels)), dtype=np.float32)

    def verify_golden(self) -> None:
        """Raise ArtifactError unless every golden prediction of the folder is reproduced."""
        count = 0
        for count, golden in enumerate(_read_golden(self.folder / GOLDEN), start=1):
            self._check_golden(golden, line=count)
        if count == 0:
            raise ArtifactError(
                f"{GOLDEN} is empty: an artefact must carry predictions to verify it by"
            )

    def _check_golden(self, golden: GoldenPrediction, *, line: int) -> None:
        if set(golden.scores) != set(self.config.labels):
            raise ArtifactError(
                f"{GOLDEN} line {line} has scores for {sorted(golden.scores)}, the model has the labels "
                f"{sorted(self.config.labels)}"
            )
        answer = self.score_one(golden.text)
        largest = max(abs(answer.scores[label] - score) for label, score in golden.scores.items())
        if answer.label != golden.label or largest > self.config.golden_tolerance:
            raise ArtifactError(
                f"golden prediction {line} is not reproduced: expected {golden.label}, got {answer.label}; "
                f"scores differ by up to {largest:.4f} (allowed {self.config.golden_tolerance})"
            )

    def _encode(self, text: str) -> tuple[Encoding, bool]:
        longest = self.config.max_length * _CHARACTERS_PER_TOKEN
        encoding = self.vocabulary.tokenizer.encode(self.config.prefix + text[:longest])
        return encoding, len(text) > longest or bool(encoding.overflowing)

    def _run(self, encoding: Encoding) -> NDArray[np.float32]:
        feeds = {
            "input_ids": np.array([encoding.ids], dtype=np.int64),
            "attention_mask": np.array([encoding.attention_mask], dtype=np.int64),
        }
        row: NDArray[np.float32] = self._session.run([_OUTPUT], feeds)[0][0]
        return row

    def _probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        scaled = logits.astype(np.float64) / self.config.temperature
        exponents = np.exp(scaled - scaled.max())
        shares: NDArray[np.float64] = exponents / exponents.sum()
        return shares

    def _check_graph(self) -> None:
        inputs = sorted(entry.name for entry in self._session.get_inputs())
        outputs = [entry.name for entry in self._session.get_outputs()]
        if inputs != sorted(_INPUTS) or _OUTPUT not in outputs:
            raise ArtifactError(
                f"{MODEL} must take {list(_INPUTS)} and give {_OUTPUT!r}; it takes {inputs} and gives {outputs}"
            )
        try:
            row = self._run(self._encode("A first text.")[0])
        except Exception as error:  # onnxruntime's errors share no base class
            raise ArtifactError(f"{MODEL} does not run: {_first_line(error)}") from error
        if row.shape != (len(self.config.labels),):
            raise ArtifactError(
                f"{MODEL} gives logits of shape {row.shape}, {CONFIG} names {len(self.config.labels)} labels"
            )
        if not np.isfinite(row).all():
            raise ArtifactError(f"{MODEL} gives logits that are not finite numbers")


def _read_config(path: Path) -> InferenceConfig:
    try:
        config = InferenceConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ArtifactError(f"{CONFIG} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise ArtifactError(f"{CONFIG} is not valid: {_explain(error)}") from error
    if len(set(config.labels)) != len(config.labels):
        raise ArtifactError(f"{CONFIG} names a label twice: {list(config.labels)}")
    return config


def _open_session(path: Path, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = (
        False  # patterns are per input shape, and every text has its own length
    )
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # spinning doubles CPU on shared cores
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class
        raise ArtifactError(f"{MODEL} cannot be loaded: {_first_line(error)}") from error


def _read_golden(path: Path) -> Iterator[GoldenPrediction]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{GOLDEN} cannot be read: {_first_line(error)}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield GoldenPrediction.model_validate_json(line)
        except ValidationError as error:
            raise ArtifactError(
                f"{GOLDEN} line {number} is not valid: {_explain(error)}"
            ) from error


def write_golden(path: Path, predictions: list[GoldenPrediction]) -> None:
    """golden.jsonl, one prediction a line."""
    lines = [
        json.dumps(prediction.model_dump(mode="json"), ensure_ascii=False)
        for prediction in predictions
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else str(first["msg"])


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
