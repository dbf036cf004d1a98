"""The same model behind KServe's Python server, for comparison.

`PYTHON benchmarks/kserve_server.py --model FOLDER --port N`, where PYTHON has `kserve`, `onnxruntime` and `tokenizers`: an
environment of its own, since kserve wants other versions than we do. FOLDER holds `model.onnx` (float32), `tokenizer.json` and
the transformers configuration. A predictor as KServe's documentation shows one, on one thread of ONNX Runtime without
spinning, which is the cheapest way to run it here.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from kserve import Model, ModelServer
from tokenizers import Tokenizer


class Classifier(Model):  # type: ignore[misc]  # kserve is not installed here
    """One text or many in `instances`, a label and its score for each in `predictions`."""

    def __init__(self, folder: Path) -> None:
        super().__init__("bench")
        self._folder = folder
        self.load()

    def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            str(self._folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        about = json.loads((self._folder / "about.json").read_text())
        self._prefix = about["prefix"]
        tokenizing = json.loads((self._folder / "tokenizer_config.json").read_text())
        self._tokenizer.enable_truncation(int(tokenizing["model_max_length"]))
        config = json.loads((self._folder / "config.json").read_text())
        self._labels = [
            config["id2label"][str(number)] for number in range(len(config["id2label"]))
        ]
        self.ready = True
        return self.ready

    async def predict(
        self, payload: dict[str, Any], headers: dict[str, str] | None = None, **_: Any
    ) -> dict[str, Any]:
        del headers
        return {"predictions": [self._classified(text) for text in payload["instances"]]}

    def _classified(self, text: str) -> dict[str, Any]:
        encoding = self._tokenizer.encode(self._prefix + text)
        feeds = {
            "input_ids": np.array([encoding.ids], dtype=np.int64),
            "attention_mask": np.array([encoding.attention_mask], dtype=np.int64),
        }
        logits = self._session.run(["logits"], feeds)[0][0].astype(np.float64)
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        best = int(shares.argmax())
        return {"label": self._labels[best], "score": float(shares[best])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    ModelServer(http_port=options.port, workers=1, enable_grpc=False, access_log_format=None).start(
        [Classifier(options.model)]
    )


if __name__ == "__main__":
    main()
