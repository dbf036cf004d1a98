"""From the trained classifier to the ONNX graphs that may serve: float32, and int8 for half the time a text.

BERT and its kin are written layer by layer (`lean_graph`), any other encoder is traced.
"""

import hashlib
import logging
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sentops_trainer.engine.classifier import Classifier, TokenTable
from sentops_trainer.engine.first_token import sharing_weights
from sentops_trainer.engine.lean_graph import Precision, Smoothing, write_graph
from sentops_trainer.engine.tracing import trace


class ByteTable(nn.Module):
    """The token table in 8 bits with a scale per row: a quarter of the size, 0.4 % of a row's largest value off."""

    weight: Tensor
    scale: Tensor

    def __init__(self, table: TokenTable) -> None:
        super().__init__()
        values = table.weight.float()
        scale = values.abs().amax(dim=1, keepdim=True).clamp_min(1e-8) / 127
        self.register_buffer("weight", (values / scale).round().to(torch.int8), persistent=False)
        self.register_buffer("scale", scale, persistent=False)

    def forward(self, input_ids: Tensor) -> Tensor:
        rows = nn.functional.embedding(input_ids, self.weight).float()
        return rows * nn.functional.embedding(input_ids, self.scale)


def export_float(classifier: Classifier, path: Path) -> None:
    """The graph as it was trained; OtherBuild where only a traced one is possible."""
    write_graph(classifier, path, Precision())


def export_int8(
    classifier: Classifier,
    path: Path,
    *,
    in_float: Collection[str] = (),
    smoothing: Smoothing | None = None,
) -> None:
    """Matrix products in 8 bits (weights per channel and signed, activations unsigned), and a byte table.

    The head stays as it is, and so do the matrices named by `in_float`, as in the classifier.
    """
    write_graph(classifier, path, Precision(True, in_float, smoothing or {}))


def trace_float(classifier: Classifier, path: Path) -> None:
    """As `export_float`, of any build."""
    trace(classifier, path)


def trace_int8(
    classifier: Classifier, path: Path, *, in_float: Collection[str] = (), by_token: bool = False
) -> None:
    """As `export_int8`, of any build and without smoothing; instead each token can have a scale of its own."""
    import onnx  # noqa: PLC0415 - slow to import, like the next
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415

    smaller = sharing_weights(classifier)
    table = smaller.encoder.get_input_embeddings()
    assert isinstance(table, TokenTable)  # noqa: S101 - load_classifier put it there
    smaller.encoder.set_input_embeddings(ByteTable(table))
    graph = path.with_name("float-matrices.onnx")
    trace(smaller, graph)
    model = onnx.load(graph)
    graph.unlink()
    del model.graph.value_info[:]  # the exporter's shapes trip the quantiser's own shape inference
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it recommends a preprocessing that torch's exporter has done
    try:
        quantize_dynamic(
            model,
            path,
            weight_type=QuantType.QInt8,
            per_channel=True,
            # 7 bits: sums of two products then fit the 16 that processors without VNNI have for them. With 8 some
            # overflow there: wrong answers, others on each machine, and no faster.
            reduce_range=True,
            op_types_to_quantize=["MatMul"],
            nodes_to_exclude=[
                *_products_with(model.graph, classifier, in_float),
                *_heads(model.graph),
            ],
            extra_options={"MatMulConstBOnly": True},
        )
    finally:
        root.setLevel(level)
    if by_token:
        from sentops_trainer.engine.by_token import scale_by_token  # noqa: PLC0415 - needs onnx

        quantised = onnx.load(path)
        scale_by_token(quantised.graph)
        onnx.save(quantised, path)


def _products_with(graph: Any, classifier: Classifier, matrices: Iterable[str]) -> list[str]:
    """The graph's nodes that multiply by these matrices. The exporter drops their names: known by their values."""
    from onnx import numpy_helper  # noqa: PLC0415

    weights = dict(classifier.named_parameters())
    wanted = {_digest(weights[f"{name}.weight"].detach().numpy().T) for name in matrices}
    if not wanted:
        return []
    constants = {tensor.name: tensor for tensor in graph.initializer}
    return [
        node.name
        for node in graph.node
        if node.op_type == "MatMul"
        and node.input[1] in constants
        and _digest(numpy_helper.to_array(constants[node.input[1]])) in wanted
    ]


def _heads(graph: Any) -> list[str]:
    """The head is a Gemm, which the quantiser makes a product of that name: no work, and the last to be rounded."""
    return [f"{node.name}_MatMul" for node in graph.node if node.op_type == "Gemm"]


def _digest(values: npt.NDArray[Any]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).digest()


def torch_logits(classifier: Classifier, rows: list[list[int]]) -> npt.NDArray[np.float32]:
    """What torch answers, one text at a time like the server: the yardstick for the graphs."""
    classifier.eval()
    with torch.inference_mode():
        return np.stack(
            [
                classifier(torch.tensor([row]), torch.ones(1, len(row), dtype=torch.long))[
                    0
                ].numpy()
                for row in rows
            ]
        )
