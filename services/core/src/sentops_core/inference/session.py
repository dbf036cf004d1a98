"""An ONNX graph, opened for answering one text at a time."""

from pathlib import Path
from typing import Any, Literal

import onnxruntime

from sentops_core.domain.errors import ArtifactError, Unavailable
from sentops_core.inference.words import first_line

CPU, _GPU = "CPUExecutionProvider", "CUDAExecutionProvider"
Provider = Literal["auto", "cpu", "cuda"]


def open_session(path: Path, threads: int, provider: Provider = "cpu") -> Any:
    """ArtifactError when it is no graph.

    `provider` "auto": the GPU if onnxruntime-gpu is installed and finds one; "cuda": Unavailable if it does not.
    """
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
        session = onnxruntime.InferenceSession(str(path), options, providers=_wanted(provider))
    except Exception as error:  # onnxruntime's errors share no base class
        raise ArtifactError(f"{path.name} cannot be loaded: {first_line(error)}") from error
    if provider == "cuda" and session.get_providers()[0] != _GPU:
        raise Unavailable("a GPU is wanted, and onnxruntime-gpu is not installed or finds none")
    return session


def _wanted(provider: Provider) -> list[str]:
    has_gpu = provider != "cpu" and _GPU in onnxruntime.get_available_providers()
    return [_GPU, CPU] if has_gpu else [CPU]
