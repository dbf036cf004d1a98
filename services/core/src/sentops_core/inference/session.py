"""An ONNX graph, opened for answering one text at a time."""

from pathlib import Path
from typing import Any

import onnxruntime

from sentops_core.domain.errors import ArtifactError
from sentops_core.inference.words import first_line


def open_session(path: Path, threads: int) -> Any:
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
        raise ArtifactError(f"{path.name} cannot be loaded: {first_line(error)}") from error
