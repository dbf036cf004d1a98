"""What this machine's matrix kernels can do at best: `python -m benchmarks.support.gemm` prints JSON.

The same library as the engine's (ONNX Runtime), one single-thread session per core, all cores at once, shapes
that fit the caches; the best moment counts. Nothing that the engine does can be faster than this.
"""

import argparse
import json
import sys
import threading
import time
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from benchmarks.support.machine import allowed_cores

# (rows, inner, columns): products of a small encoder for a few texts at once
_SHAPES = ((128, 384, 1536), (256, 384, 384), (256, 1536, 384))
_WINDOWS = 5
_LEAST_RUNS = 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=4, help="for both kinds together")
    seconds = parser.parse_args().seconds
    print(json.dumps(peaks(seconds, len(allowed_cores()))))
    return 0


def peaks(seconds: float, cores: int) -> dict[str, float]:
    """Billions of operations a second (a multiply-add is two), all cores together."""
    each = seconds / (2 * len(_SHAPES) * _WINDOWS)
    return {
        kind: round(max(_peak(kind, shape, each, cores) for shape in _SHAPES), 1)
        for kind in ("fp32", "int8")
    }


def _peak(kind: str, shape: tuple[int, int, int], seconds: float, cores: int) -> float:
    sessions = [_session(kind, shape) for _ in range(cores)]
    feeds = {"a": _operand(kind, shape[0], shape[1])}
    sessions[0].run(None, feeds)
    return max(_rate(sessions, feeds, seconds, 2 * int(np.prod(shape))) for _ in range(_WINDOWS))


def _rate(sessions: list[Any], feeds: dict[str, Any], seconds: float, operations: int) -> float:
    """Each thread's rate in its own CPU time, added up: what the cores would do if nobody else had them."""
    rates = [0.0] * len(sessions)

    def work(number: int) -> None:
        runs, started, used_before = 0, time.perf_counter(), time.thread_time()
        while time.perf_counter() - started < seconds or runs < _LEAST_RUNS:
            sessions[number].run(None, feeds)
            runs += 1
        rates[number] = runs * operations / (time.thread_time() - used_before) / 1e9

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(sessions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rates)


def _session(kind: str, shape: tuple[int, int, int]) -> Any:
    rows, inner, columns = shape
    weights = np.random.default_rng(1).integers(-100, 100, (inner, columns))
    if kind == "int8":
        operation, taken, given = "MatMulInteger", TensorProto.UINT8, TensorProto.INT32
        stored = helper.make_tensor("b", TensorProto.INT8, (inner, columns), weights.ravel())
    else:
        operation, taken, given = "MatMul", TensorProto.FLOAT, TensorProto.FLOAT
        stored = helper.make_tensor("b", TensorProto.FLOAT, (inner, columns), weights.ravel() / 100)
    graph = helper.make_graph(
        [helper.make_node(operation, ["a", "b"], ["c"])],
        "peak",
        [helper.make_tensor_value_info("a", taken, (rows, inner))],
        [helper.make_tensor_value_info("c", given, (rows, columns))],
        [stored],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _operand(kind: str, rows: int, inner: int) -> Any:
    values = np.random.default_rng(2).integers(0, 200, (rows, inner))
    return values.astype(np.uint8) if kind == "int8" else values.astype(np.float32) / 100


if __name__ == "__main__":
    sys.exit(main())
