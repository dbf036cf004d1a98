"""Artefacts made in milliseconds, without torch: a real ONNX graph, a real tokenizer, a real manifest."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel

from sentops_core.artifacts import write_manifest
from sentops_core.domain.artifact import (
    CARD,
    CONFIG,
    GOLDEN,
    MODEL,
    STUDENT,
    TOKENIZER,
    GoldenPrediction,
    InferenceConfig,
)
from sentops_core.domain.evaluation import ClassScores, Evaluation
from sentops_core.domain.fast_path import FastPath
from sentops_core.inference import Scorer, write_golden

LABELS = ("negative", "neutral", "positive")
_MOODS = {
    "negative": ("bad", "awful", "broken", "terrible", "pessimo", "rotto"),
    "neutral": ("okay", "average", "fine", "normale"),
    "positive": ("good", "great", "excellent", "love", "ottimo", "perfetto"),
}
_PLAIN = ("the", "a", "it", "is", "product", "and", "arrived", "today", "😀")
_WORDS = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    *_PLAIN,
    *(word for mood in _MOODS.values() for word in mood),
)
_GOLDEN_TEXTS = (
    "a great product",
    "it is broken",
    "the product arrived today",
    "okay and fine",
    "ottimo",
)

Change = Callable[[Path], None]


@dataclass(frozen=True)
class BuiltArtifact:
    folder: Path
    digest: str

    @property
    def uri(self) -> str:
        return self.folder.as_uri()


def build_artifact(
    folder: Path,
    *,
    strength: float = 3.0,
    labels: tuple[str, ...] = LABELS,
    graph_labels: int | None = None,
    hidden: int = 8,
    layers: int = 1,
    max_length: int = 16,
    model_name: str = "sentiment",
    fast_path: FastPath | None = None,
    before_sealing: Change = lambda _: None,
) -> BuiltArtifact:
    """A sealed artefact whose words decide the label; `strength` makes versions differ.

    With a `fast_path` a student half as sure as the model answers the texts of several words with one leaning.
    `hidden` and `layers` give it the size and cost of a real one; `graph_labels` makes the graph contradict
    config.json; `before_sealing` damages the folder so that the damage is sealed in.
    """
    folder.mkdir(parents=True)
    _tokenizer().save(str(folder / TOKENIZER))
    onnx.save(
        _graph(len(labels) if graph_labels is None else graph_labels, strength, hidden, layers),
        folder / MODEL,
    )
    config = InferenceConfig(
        labels=labels,
        max_length=max_length,
        temperature=1.0,
        precision="fp32",
        golden_tolerance=0.01,
        fast_path=fast_path,
    )
    if fast_path is not None:
        onnx.save(_graph(len(labels), strength / 2, 8, 1), folder / STUDENT)
    (folder / CONFIG).write_text(config.model_dump_json())
    (folder / CARD).write_text("# A tiny model\n")
    write_golden(folder / GOLDEN, _golden(folder) if graph_labels is None else [])
    before_sealing(folder)
    return BuiltArtifact(folder, seal_artifact(folder, model_name=model_name))


def seal_artifact(folder: Path, *, model_name: str = "sentiment") -> str:
    """Write the manifest over what the folder holds now; returns the digest."""
    return write_manifest(
        folder,
        model_name=model_name,
        training_job="a-job",
        attempt=1,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        base_model="file:///tiny",
        method="linear",
        dataset_hash="sha256:" + "0" * 64,
        seed=1,
        evaluation=an_evaluation(),
    )


def an_evaluation(labels: tuple[str, ...] = LABELS) -> Evaluation:
    perfect = ClassScores(precision=1, recall=1, f1=1, support=1)
    size = range(len(labels))
    return Evaluation(
        rows=len(labels),
        accuracy=1,
        macro_f1=1,
        per_class=dict.fromkeys(labels, perfect),
        confusion=tuple(tuple(int(row == column) for column in size) for row in size),
        calibration_error=0,
    )


def _golden(folder: Path) -> list[GoldenPrediction]:
    (folder / GOLDEN).touch()
    scorer = Scorer.load(folder)
    answers = scorer.score(list(_GOLDEN_TEXTS))
    return [
        GoldenPrediction(text=text, label=answer.label, scores=answer.scores)
        for text, answer in zip(_GOLDEN_TEXTS, answers, strict=True)
    ]


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(
        WordLevel({word: number for number, word in enumerate(_WORDS)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def _graph(labels: int, strength: float, hidden: int, layers: int) -> onnx.ModelProto:
    """logits = sum over tokens of (word leanings + a thousandth of what some dense layers make of random rows)."""
    random = np.random.default_rng(7)
    leanings = np.zeros((len(_WORDS), labels), dtype=np.float32)
    for column, mood in enumerate(list(_MOODS)[:labels]):
        for word in _MOODS[mood]:
            leanings[_WORDS.index(word), column] = strength
    embeddings = random.standard_normal((len(_WORDS), hidden), dtype=np.float32)
    weights: dict[str, NDArray[Any]] = {
        "leanings": leanings,
        "embeddings": embeddings,
        "head": random.standard_normal((hidden, labels), dtype=np.float32) / 1000,
        "last_axis": np.array([2], dtype=np.int64),
        "token_axis": np.array([1], dtype=np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["leanings", "input_ids"], ["leaning_rows"]),
        helper.make_node("Gather", ["embeddings", "input_ids"], ["layer_0"]),
    ]
    for number in range(layers):
        weights[f"weight_{number}"] = random.standard_normal(
            (hidden, hidden), dtype=np.float32
        ) / np.float32(np.sqrt(hidden))
        nodes += [
            helper.make_node(
                "MatMul", [f"layer_{number}", f"weight_{number}"], [f"product_{number}"]
            ),
            helper.make_node("Tanh", [f"product_{number}"], [f"layer_{number + 1}"]),
        ]
    nodes += [
        helper.make_node("MatMul", [f"layer_{layers}", "head"], ["dense_rows"]),
        helper.make_node("Add", ["leaning_rows", "dense_rows"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last_axis"], ["mask_rows"]),
        helper.make_node("Mul", ["rows", "mask_rows"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "token_axis"], ["logits"], keepdims=0),
    ]
    tokens = ["batch", "tokens"]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, tokens),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, tokens),
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", labels])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
