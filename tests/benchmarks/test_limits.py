"""Operations are counted as the graph does them, the machine's peak as it is reached."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.support.gemm import peaks
from benchmarks.support.operations import Operations, operations_per_text

_HIDDEN = 8


def a_graph(path: Path) -> Path:
    """Tokens looked up (tokens × 8), times 8 × 3 in float, and each token with each other in 8 bits."""
    table = np.arange(10 * _HIDDEN, dtype=np.float32).reshape(10, _HIDDEN)
    constants = {"table": table, "weights": table[:_HIDDEN, :3], "square": [1, -1, _HIDDEN]}
    nodes = [
        ("Gather", ["table", "input_ids"], ["rows"]),
        ("MatMul", ["rows", "weights"], ["logits"]),
        ("Cast", ["rows"], ["bytes"], {"to": TensorProto.UINT8}),
        ("Transpose", ["bytes"], ["turned"], {"perm": [0, 2, 1]}),
        ("MatMulInteger", ["bytes", "turned"], ["pairs"]),
    ]
    made = [helper.make_node(*node[:3], **(node[3] if len(node) > 3 else {})) for node in nodes]
    made.append(helper.make_node("Identity", ["attention_mask"], ["mask"]))
    shape = ["batch", "tokens"]
    graph = helper.make_graph(
        made,
        "two_products",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, shape),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, shape),
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [*shape, 3])],
        [numpy_helper.from_array(np.array(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


def test_operations_follow_the_lengths_of_the_texts(tmp_path: Path) -> None:
    found = operations_per_text(a_graph(tmp_path / "model.onnx"), [4, 10, 10, 4])
    assert found.fp32 == 2 * 7 * _HIDDEN * 3  # the mean of 4 and 10 tokens
    assert found.int8 == 2 * (4 * 4 + 10 * 10) / 2 * _HIDDEN


def test_each_kind_is_held_to_its_own_peak() -> None:
    operations = Operations(fp32=100e6, int8=400e6)
    assert operations.seconds_at({"fp32": 100.0, "int8": 200.0}) == pytest.approx(0.003)


def test_the_peak_of_this_machine_is_measured() -> None:
    found = peaks(seconds=0.3, cores=1)
    assert found["fp32"] > 0.5
    assert found["int8"] > 0.5
