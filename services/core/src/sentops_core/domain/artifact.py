"""What an artefact is: a folder whose manifest lists every other file, addressed by the manifest's own hash."""

import hashlib
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from sentops_core.domain.base import Body, Digest, Label, Moment
from sentops_core.domain.evaluation import Evaluation
from sentops_core.domain.fast_path import FastPath

MANIFEST = "manifest.json"
CONFIG = "config.json"
MODEL = "model.onnx"
WEIGHTS = "model.weights"  # the large tensors of MODEL where it keeps them apart, to be mapped into memory
STUDENT = "student.onnx"  # only where config.json names a fast path
TOKENIZER = "tokenizer.json"
GOLDEN = "golden.jsonl"
CARD = "card.md"
METRICS = "metrics.json"
# What it answered for the held-out rows: content_hash, truth, answer, score. No texts, so that an erased text is gone.
ANSWERS = "answers.parquet"
MOST_ANSWERS = 20_000
# What drift is measured against (domain.reference); an artefact made elsewhere may have none.
REFERENCE = "reference.json"
REQUIRED_FILES = (CONFIG, MODEL, TOKENIZER, GOLDEN, CARD)

HexSha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ArtifactFile(Body):
    path: str
    size: int = Field(ge=0)
    sha256: HexSha256


class InferenceConfig(Body):
    """config.json: all that a server must know to answer as the trainer evaluated.

    `model.onnx` takes int64 `input_ids` and `attention_mask` of shape (batch, tokens) and gives float32
    `logits` of shape (batch, labels); probabilities are softmax(logits / temperature).
    """

    labels: tuple[Label, ...] = Field(min_length=2)
    max_length: int = Field(ge=8, le=8192)
    prefix: str = ""
    pad_token_id: int = 0
    temperature: float = Field(gt=0)
    precision: Literal["fp32", "int8", "mixed"]
    golden_tolerance: float = Field(gt=0, le=0.2)
    # Left out where there is none: servers older than it refuse a field that they do not know.
    fast_path: FastPath | None = Field(default=None, exclude_if=lambda found: found is None)


class GoldenPrediction(Body):
    """One line of golden.jsonl: the server must give this label, and these scores within the tolerance."""

    text: str
    label: Label
    scores: dict[Label, float]


class Manifest(Body):
    """manifest.json: where the artefact comes from, and the hash of every other file in the folder."""

    format: Literal["sentops/1"] = "sentops/1"
    model_name: str
    training_job: str
    attempt: int = Field(ge=1)
    created_at: Moment
    base_model: str
    method: str
    dataset_hash: str
    seed: int
    hyperparameters: dict[str, str | int | float | bool] = {}
    evaluation: Evaluation
    files: tuple[ArtifactFile, ...]

    def to_bytes(self) -> bytes:
        return self.model_dump_json(indent=1).encode()


def digest_of_manifest(content: bytes) -> Digest:
    """The artefact's digest. The manifest covers each file, so this covers all of them."""
    return "sha256:" + hashlib.sha256(content).hexdigest()
