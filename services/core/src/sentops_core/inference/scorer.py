"""Answering from an artefact folder: tokenise, run the ONNX graph, turn logits into calibrated scores.

Texts go through the session one at a time. Dynamically quantised graphs scale their activations over the whole
batch, so the same text would otherwise get another answer in other company; and on a CPU one text already keeps
the matrix kernels at about 90 % of their peak, so padding a batch only adds work.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from tokenizers import Encoding

from sentops_core.domain.artifact import (
    CONFIG,
    GOLDEN,
    MODEL,
    TOKENIZER,
    GoldenPrediction,
    InferenceConfig,
)
from sentops_core.domain.errors import ArtifactError
from sentops_core.inference.golden import read_golden
from sentops_core.inference.scored import Scored
from sentops_core.inference.session import open_session
from sentops_core.inference.vocabulary import Vocabulary
from sentops_core.inference.words import explain, first_line

# No tokenizer in use yields fewer tokens than one per 32 characters of a real text, so what lies beyond would be
# truncated anyway; cutting it first makes a text of a megabyte cost no more than a page.
_CHARACTERS_PER_TOKEN = 32
_INPUTS = ("input_ids", "attention_mask")
_OUTPUT = "logits"


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
        scorer = cls(config, vocabulary, open_session(folder / MODEL, threads), folder)
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
        for count, golden in enumerate(read_golden(self.folder / GOLDEN), start=1):
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
            raise ArtifactError(f"{MODEL} does not run: {first_line(error)}") from error
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
        raise ArtifactError(f"{CONFIG} is not valid: {explain(error)}") from error
    if len(set(config.labels)) != len(config.labels):
        raise ArtifactError(f"{CONFIG} names a label twice: {list(config.labels)}")
    return config
