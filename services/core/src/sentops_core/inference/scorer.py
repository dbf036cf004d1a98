"""Answering from an artefact folder: tokenise, run the ONNX graph, turn logits into calibrated scores.

Texts go through the session one at a time. Dynamically quantised graphs scale their activations over the whole
batch, so the same text would otherwise get another answer in other company; and on a CPU one text already keeps
the matrix kernels at about 90 % of their peak, so padding a batch only adds work.

An artefact may have a fast path: a student a hundredth the cost, asked first, whose answer stands where it is sure.
"""

import math
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
    STUDENT,
    TOKENIZER,
    GoldenPrediction,
    InferenceConfig,
)
from sentops_core.domain.errors import ArtifactError
from sentops_core.domain.fast_path import AnswerPath, FastPath
from sentops_core.inference.golden import read_golden
from sentops_core.inference.scored import Scored
from sentops_core.inference.session import CPU, Provider, open_session
from sentops_core.inference.vocabulary import Vocabulary
from sentops_core.inference.words import explain, first_line

# No tokenizer in use yields fewer tokens than one per 32 characters of a real text, so what lies beyond would be
# truncated anyway; cutting it first makes a text of a megabyte cost no more than a page.
_CHARACTERS_PER_TOKEN = 32
_IDS, _MASK = "input_ids", "attention_mask"
_OUTPUT = "logits"
_OUTPUTS = [_OUTPUT]

Feeds = dict[str, NDArray[np.int64]]


class Scorer:
    """A loaded artefact. Safe to call from several threads at once: each call computes on its own thread."""

    def __init__(
        self,
        config: InferenceConfig,
        vocabulary: "Vocabulary",
        session: Any,
        folder: Path,
        student: Any = None,
    ) -> None:
        self.config = config
        self.folder = folder
        self.vocabulary = vocabulary
        self._session = session
        self._student = student
        self._ones = np.ones((1, config.max_length), dtype=np.int64)
        self._ones.flags.writeable = False

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        threads: int = 1,
        beside: Iterable["Scorer"] = (),
        fast_path: bool = True,
        provider: Provider = "cpu",
    ) -> Self:
        """The scorer of an artefact folder; ArtifactError when the folder cannot be served.

        Versions mostly share their base's tokenizer, and a multilingual one takes seconds and 300 MB: it is taken
        from the scorers `beside` which it will live, if one has the same. Without `fast_path` the full model answers
        every text, and the student is not even loaded. `provider` "auto" takes a GPU for a float32 graph.
        """
        config = _read_config(folder / CONFIG)
        known = [scorer.vocabulary for scorer in beside]
        vocabulary = Vocabulary.read(folder / TOKENIZER, config.max_length, known)
        if provider == "auto" and config.precision != "fp32":
            provider = (
                "cpu"  # of an 8-bit graph a GPU computes little, and carries the rest to and fro
            )
        session = open_session(folder / MODEL, threads, provider)
        student = None
        if fast_path and config.fast_path is not None:
            student = _open_student(folder / STUDENT)
        scorer = cls(config, vocabulary, session, folder, student)
        scorer._check_graph(session, MODEL)
        if student is not None:
            scorer._check_graph(student, STUDENT)
        return scorer

    @property
    def has_fast_path(self) -> bool:
        """Whether some texts may be answered by the student."""
        return self._student is not None

    def with_fast_path(self, fast_path: FastPath) -> Self:
        """The same graphs at another threshold."""
        config = self.config.model_copy(update={"fast_path": fast_path})
        return type(self)(config, self.vocabulary, self._session, self.folder, self._student)

    def without_fast_path(self) -> Self:
        """The full model alone."""
        return type(self)(self.config, self.vocabulary, self._session, self.folder)

    @property
    def is_on_gpu(self) -> bool:
        return bool(self._session.get_providers()[0] != CPU)

    @property
    def may_score_together(self) -> bool:
        """Whether an answer is the same in company: not of an 8-bit graph, which scales and masks by the text alone."""
        return self.config.precision == "fp32"

    def score(self, texts: list[str]) -> list[Scored]:
        """Label and probabilities of each text, in order."""
        return [self.score_one(text) for text in texts]

    def score_one(self, text: str) -> Scored:
        """The student's answer where it is sure enough, else the full model's; the text is tokenised once."""
        encoding, truncated = self._encode(text)
        feeds = self._feeds(encoding)
        if self._student is not None and (fast := self.config.fast_path):
            shares = softmax(_run(self._student, feeds).tolist(), fast.temperature)
            if max(shares) >= fast.threshold:
                return self._answer(shares, "fast", truncated=truncated)
        shares = softmax(_run(self._session, feeds).tolist(), self.config.temperature)
        return self._answer(shares, "full", truncated=truncated)

    def score_together(self, texts: list[str]) -> list[Scored]:
        """As `score`, in padded batches: what pays on a GPU, where texts are of about one length.

        Only where `may_score_together`.
        """
        encoded = [self._encode(text) for text in texts]
        answers: dict[int, Scored] = {}
        if self._student is not None and (fast := self.config.fast_path):
            for index, logits in enumerate(self._padded(self._student, encoded)):
                shares = softmax(logits, fast.temperature)
                if max(shares) >= fast.threshold:
                    answers[index] = self._answer(shares, "fast", truncated=encoded[index][1])
        left = [index for index in range(len(texts)) if index not in answers]
        rows = self._padded(self._session, [encoded[index] for index in left])
        for index, logits in zip(left, rows, strict=True):
            shares = softmax(logits, self.config.temperature)
            answers[index] = self._answer(shares, "full", truncated=encoded[index][1])
        return [answers[index] for index in range(len(texts))]

    def _padded(self, session: Any, encoded: list[tuple[Encoding, bool]]) -> list[list[float]]:
        """Logits of the texts, in one run."""
        if not encoded:
            return []
        longest = max(len(encoding.ids) for encoding, _ in encoded)
        ids = np.zeros((len(encoded), longest), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, (encoding, _) in enumerate(encoded):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        logits: list[list[float]] = session.run(_OUTPUTS, {_IDS: ids, _MASK: mask})[0].tolist()
        return logits

    def _answer(self, shares: list[float], path: AnswerPath, *, truncated: bool) -> Scored:
        labels = self.config.labels
        score = max(shares)
        scores = dict(zip(labels, shares, strict=True))
        return Scored(labels[shares.index(score)], score, scores, truncated, path)

    def logits(self, texts: list[str]) -> NDArray[np.float32]:
        """The full model's raw logits of shape (texts, labels), before the temperature."""
        rows = [_run(self._session, self._feeds(self._encode(text)[0])) for text in texts]
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
        # As a batch of one, since only for batches the library gives up the interpreter lock, which a long text
        # would keep from everybody for milliseconds; without offsets, which nobody reads.
        tokenizer = self.vocabulary.tokenizer
        (encoding,) = tokenizer.encode_batch_fast([self.config.prefix + text[:longest]])
        return encoding, len(text) > longest or bool(encoding.overflowing)

    def _feeds(self, encoding: Encoding) -> Feeds:
        ids = np.array([encoding.ids], dtype=np.int64)
        return {_IDS: ids, _MASK: self._ones[:, : ids.shape[1]]}  # one text: nothing is padding

    def _check_graph(self, session: Any, name: str) -> None:
        inputs = sorted(entry.name for entry in session.get_inputs())
        outputs = [entry.name for entry in session.get_outputs()]
        if inputs != sorted((_IDS, _MASK)) or _OUTPUT not in outputs:
            raise ArtifactError(
                f"{name} must take {[_IDS, _MASK]} and give {_OUTPUT!r}; it takes {inputs} and gives {outputs}"
            )
        try:
            row = _run(session, self._feeds(self._encode("A first text.")[0]))
        except Exception as error:  # onnxruntime's errors share no base class
            raise ArtifactError(f"{name} does not run: {first_line(error)}") from error
        if row.shape != (len(self.config.labels),):
            raise ArtifactError(
                f"{name} gives logits of shape {row.shape}, {CONFIG} names {len(self.config.labels)} labels"
            )
        if not np.isfinite(row).all():
            raise ArtifactError(f"{name} gives logits that are not finite numbers")


def softmax(logits: list[float], temperature: float) -> list[float]:
    """Probabilities; of a handful of labels in a fifth of the time that numpy takes."""
    highest = max(logits)
    exponents = [math.exp((logit - highest) / temperature) for logit in logits]
    total = sum(exponents)
    return [exponent / total for exponent in exponents]


def _run(session: Any, feeds: Feeds) -> NDArray[np.float32]:
    row: NDArray[np.float32] = session.run(_OUTPUTS, feeds)[0][0]
    return row


def _open_student(path: Path) -> Any:
    if not path.is_file():
        raise ArtifactError(f"{CONFIG} names a fast path, and {STUDENT} is missing")
    return open_session(path, 1)


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
