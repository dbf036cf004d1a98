"""How many operations in matrix products one answer takes, counted in the graph as it is run."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

_PRODUCTS = {
    "MatMul": "fp32",
    "Gemm": "fp32",
    "MatMulInteger": "int8",
    "DynamicQuantizeMatMul": "int8",
}


@dataclass(frozen=True)
class Operations:
    """A multiply-add is two. What is no matrix product (softmax, norms, look-ups) is left out."""

    fp32: float
    int8: float

    def seconds_at(self, peaks: dict[str, float]) -> float:
        """Of one core's share of these peaks (10⁹ a second): the least that one answer can take."""
        return self.fp32 / (peaks["fp32"] * 1e9) + self.int8 / (peaks["int8"] * 1e9)


def operations_per_text(model: Path, lengths: Iterable[int]) -> Operations:
    """The mean over texts of these lengths in tokens, special ones included."""
    counted = Counter(lengths)
    session, products = _with_shapes_told(model)
    total: Counter[str] = Counter()
    for length, texts in counted.items():
        for kind, operations in _at_length(session, products, length).items():
            total[kind] += operations * texts
    return Operations(total["fp32"] / counted.total(), total["int8"] / counted.total())


@dataclass(frozen=True)
class _Product:
    kind: str
    left: str
    result: str
    inner_axis: int
    times: int = 1


def _with_shapes_told(path: Path) -> tuple[Any, list[_Product]]:
    """The graph with each product's left side and result among its outputs, so that a run tells their shapes."""
    model = onnx.load(path)
    given = {value.name for value in (*model.graph.input, *model.graph.output)}
    products = []
    for node in model.graph.node:
        if kind := _PRODUCTS.get(node.op_type):
            turned = any(one.name == "transA" and one.i for one in node.attribute)
            products.append(_Product(kind, node.input[0], node.output[0], 0 if turned else -1))
        elif node.op_type == "MultiHeadAttention":  # queries by keys, and what that gives by values
            products.append(_Product("fp32", node.input[1], node.output[0], 1, times=2))
    for name in dict.fromkeys(name for one in products for name in (one.left, one.result)):
        if name not in given:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
    options = onnxruntime.SessionOptions()
    # As written: a fused product would hide the shapes in between.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session, products


def _at_length(session: Any, products: list[_Product], length: int) -> Counter[str]:
    tokens = np.full((1, length), 5, dtype=np.int64)
    values = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}
    names = [one.name for one in session.get_outputs()]
    feeds = {one.name: values[one.name] for one in session.get_inputs()}
    shapes = {
        name: value.shape for name, value in zip(names, session.run(None, feeds), strict=True)
    }
    shapes |= {name: value.shape for name, value in feeds.items()}
    found: Counter[str] = Counter()
    for one in products:
        inner = shapes[one.left][one.inner_axis]
        found[one.kind] += one.times * 2 * int(np.prod(shapes[one.result])) * inner
    return found
