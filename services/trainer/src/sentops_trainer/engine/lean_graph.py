"""The ONNX graph of an encoder of BERT's build, written layer by layer with ONNX Runtime's own fused operations.

A traced graph asks for shapes, masks and positions anew in every layer, in some 700 nodes; this one has twelve nodes a
layer, and one product for query, key and value. Other builds are traced (`export`).
"""

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from sentops_core.domain.artifact import WEIGHTS
from sentops_trainer.engine.classifier import Classifier

_OPSET = 18
# Bytes of a tensor that is kept apart: mapped, not copied, and of a token table only the rows in use are in memory.
_MAPPED_FROM = 100_000
_RUNTIME = "com.microsoft"
_LATE = {"roberta", "xlm-roberta", "camembert"}  # count positions from behind the padding id
_BUILDS = _LATE | {"bert", "electra"}
Values = npt.NDArray[Any]
Smoothing = Mapping[str, Values]


class OtherBuild(Exception):
    """An encoder that this module cannot write."""


@dataclass(frozen=True)
class Precision:
    """Products in 8 bits but for those `in_float`; what each product's input is divided by, if anything.

    The names are those of the torch modules; a product of query, key and value is named by its query.
    """

    eight_bits: bool = False
    in_float: Collection[str] = ()
    smoothing: Smoothing = field(default_factory=dict)


def write_graph(classifier: Classifier, path: Path, precision: Precision) -> None:
    """`input_ids` and `attention_mask` to `logits`; OtherBuild where it cannot be written.

    With float products padded batches, too. In 8 bits a text's answer would depend on the others of its batch, so such a
    graph is asked for one text at a time: nothing is padding, and the mask goes unread.

    Large tensors go to WEIGHTS beside `path`.
    """
    config = classifier.encoder.config
    if (
        config.model_type not in _BUILDS
        or config.hidden_act != "gelu"
        or getattr(config, "position_embedding_type", None) not in {None, "absolute"}
    ):
        raise OtherBuild(f"{config.model_type} is traced")
    graph = _Graph(classifier, precision)
    graph.write()
    weights = path.with_name(WEIGHTS)
    weights.unlink(missing_ok=True)  # onnx would append to it
    onnx.save(
        graph.model(),
        path,
        save_as_external_data=True,
        location=WEIGHTS,
        size_threshold=_MAPPED_FROM,
    )


def weight_steps(weight: Values) -> Values:
    """For each row of (outputs, inputs) the step that its 8 bits stand for.

    Processors without VNNI add the products of inputs 2i and 2i+1 in 16 bits, which holds 255 times 128: so the two
    weights together may have 128, where they do not have opposite signs. A larger sum would overflow there: wrong
    answers, others on each machine. (Half of that for every weight would be safe, too, and half as fine.)
    """
    even = np.pad(weight, ((0, 0), (0, weight.shape[1] % 2)))
    sides = (np.maximum(side, 0) for side in (even, -even))
    pairs = np.maximum(*(side[:, 0::2] + side[:, 1::2] for side in sides))
    steps: Values = np.maximum(pairs.max(axis=1), 1e-12) / 127  # rounding adds up to 1
    return steps


class _Graph:
    def __init__(self, classifier: Classifier, precision: Precision) -> None:
        self.classifier = classifier
        self.encoder: Any = classifier.encoder
        self.config: Any = classifier.encoder.config
        self.precision = precision
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.number = itertools.count()

    def write(self) -> None:
        tokens = self._embedded()
        layers = self.encoder.encoder.layer
        for number, layer in enumerate(layers):
            alone = self.classifier.pooling == "cls" and number == len(layers) - 1
            tokens = self._layer(layer, f"encoder.encoder.layer.{number}", tokens, alone=alone)
        pooled = self._pooled(tokens)
        head = self.classifier.head
        weight, bias = (
            self._constant("head.weight", head.weight),
            self._constant("head.bias", head.bias),
        )
        self.nodes.append(helper.make_node("Gemm", [pooled, weight, bias], ["logits"], transB=1))

    def model(self) -> Any:
        def value(name: str, kind: int, shape: list[str | int]) -> Any:
            return helper.make_tensor_value_info(name, kind, shape)

        graph = helper.make_graph(
            self.nodes,
            "classifier",
            [
                value("input_ids", TensorProto.INT64, ["batch", "tokens"]),
                value("attention_mask", TensorProto.INT64, ["batch", "tokens"]),
            ],
            [value("logits", TensorProto.FLOAT, ["batch", self.classifier.head.out_features])],
            list(self.constants.values()),
        )
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_RUNTIME, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)

    # The parts of an encoder

    def _embedded(self) -> str:
        embeddings = self.encoder.embeddings
        words = self._words(embeddings.word_embeddings.weight)
        places = _values(embeddings.position_embeddings.weight)
        places = places + _values(embeddings.token_type_embeddings.weight)[0]
        table = self._constant("positions", places)
        if self.config.model_type in _LATE:
            padding = self._constant("padding", np.array(self.config.pad_token_id, np.int64))
            same = self._node("Equal", ["input_ids", padding])
            real = self._node("Cast", [self._node("Not", [same])], to=TensorProto.INT64)
            counted = self._node("CumSum", [real, self._constant("second", np.array(1, np.int64))])
            numbers = self._node("Add", [self._node("Mul", [counted, real]), padding])
            at = self._node("Gather", [table, numbers])
        else:
            length = self._node("Shape", ["input_ids"], start=1, end=2)
            start, axis = (self._constant("zero", np.array([0], np.int64)) for _ in range(2))
            at = self._node("Slice", [table, start, length, axis])
        found = self._normed(self._node("Add", [words, at]), embeddings.LayerNorm, "embeddings")
        if wider := getattr(self.encoder, "embeddings_project", None):  # ELECTRA's
            found = self._product("encoder.embeddings_project", [_parts(wider)], found)
        return found

    def _words(self, weight: Tensor) -> str:
        """In 8 bits a token's row has a scale of its own: 0.4 % of its largest value off."""
        values = _values(weight)
        if not self.precision.eight_bits:
            table = self._constant("words", values.astype(np.float16))
            return self._node(
                "Cast", [self._node("Gather", [table, "input_ids"])], to=TensorProto.FLOAT
            )
        scale = np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-8) / 127
        table = self._constant("words", np.round(values / scale).astype(np.int8))
        rows = self._node("Gather", [table, "input_ids"])
        scales = self._node("Gather", [self._constant("words.scale", scale), "input_ids"])
        return self._node("Mul", [self._node("Cast", [rows], to=TensorProto.FLOAT), scales])

    def _layer(self, layer: Any, name: str, tokens: str, *, alone: bool) -> str:
        """With `alone` only the first token's row is computed: the head reads no other."""
        inner, joined = layer.attention.self, f"{name}.attention.output.dense"
        query, key, value = map(_parts, (inner.query, inner.key, inner.value))
        # The smoothing of what attention gives costs nothing: values are summed, so theirs may be divided.
        if (by := self.precision.smoothing.get(joined)) is not None:
            value = (value[0] / by[:, None], value[1] / by)
        own = f"{name}.attention.self"
        tokens_of = tokens
        if alone:
            tokens_of = self._first(tokens)
            asked = self._product(f"{own}.query", [query], tokens_of)
            parts = [asked, *self._several(f"{own}.key", [key, value], tokens, like=f"{own}.query")]
        else:
            parts = self._several(f"{own}.query", [query, key, value], tokens)
        heads = int(inner.num_attention_heads)
        if not self.precision.eight_bits:
            parts += ["", self._mask()]
        attended = self._node("MultiHeadAttention", parts, domain=_RUNTIME, num_heads=heads)
        output = layer.attention.output
        found = self._product(joined, [_parts(output.dense)], attended, divided=True)
        found = self._skipped(found, tokens_of, output, f"{name}.attention.output")
        wide = self._product(
            f"{name}.intermediate.dense", [_parts(layer.intermediate.dense)], found
        )
        wide = self._node("Gelu", [wide], domain=_RUNTIME)
        narrow = self._product(f"{name}.output.dense", [_parts(layer.output.dense)], wide)
        return self._skipped(narrow, found, layer.output, f"{name}.output")

    def _pooled(self, tokens: str) -> str:
        if self.classifier.pooling == "cls":
            return self._node(
                "Squeeze", [tokens, self._constant("middle", np.array([1], np.int64))]
            )
        axis = self._constant("middle", np.array([1], np.int64))
        if self.precision.eight_bits:
            return self._node("ReduceMean", [tokens, axis], keepdims=0)
        mask = self._node("Cast", ["attention_mask"], to=TensorProto.FLOAT)
        total = self._node("MatMul", [self._node("Unsqueeze", [mask, axis]), tokens])
        count = self._node("ReduceSum", [mask, axis], keepdims=1)
        return self._node("Div", [self._node("Squeeze", [total, axis]), count])

    # Their operations

    def _several(
        self,
        name: str,
        parts: list[tuple[Values, Values]],
        tokens: str,
        *,
        like: str | None = None,
    ) -> list[str]:
        """One product for all of these, then taken apart."""
        joined = self._product(name, parts, tokens, like=like)
        names = [self._name("Split") for _ in parts]
        self.nodes.append(
            helper.make_node("Split", [joined], names, axis=-1, num_outputs=len(parts))
        )
        return names

    def _product(
        self,
        name: str,
        parts: list[tuple[Values, Values]],
        tokens: str,
        *,
        like: str | None = None,
        divided: bool = False,
    ) -> str:
        """`divided`: the input is so already. `like`: the name that smoothing and `in_float` know it by."""
        known = like or name
        weight = np.concatenate([part for part, _ in parts]).T
        bias = self._constant(f"{name}.bias", np.concatenate([part for _, part in parts]))
        by = self.precision.smoothing.get(known)
        if by is not None:
            weight = weight * by[:, None]
            if not divided:
                inverse = self._constant(f"{known}.smoothing", (1 / by).astype(np.float32))
                tokens = self._node("Mul", [tokens, inverse])
        if not self.precision.eight_bits or known in self.precision.in_float:
            found = self._node("MatMul", [tokens, self._constant(name, weight)])
            return self._node("Add", [found, bias])
        scale = weight_steps(weight.T)
        given = [
            tokens,
            self._constant(name, np.round(weight / scale).astype(np.int8)),
            self._constant(f"{name}.scale", scale.astype(np.float32)),
            "",
            bias,
        ]
        return self._node("DynamicQuantizeMatMul", given, domain=_RUNTIME)

    def _normed(self, values: str, norm: Any, name: str) -> str:
        gamma, beta = self._norm_constants(norm, name)
        return self._node("LayerNormalization", [values, gamma, beta], axis=-1, epsilon=norm.eps)

    def _skipped(self, values: str, skip: str, output: Any, name: str) -> str:
        """The residual and the norm: of an Add the runtime would make its SkipLayerNormalization, five times as slow."""
        return self._normed(self._node("Sum", [values, skip]), output.LayerNorm, name)

    def _norm_constants(self, norm: Any, name: str) -> tuple[str, str]:
        return (
            self._constant(f"{name}.gamma", norm.weight),
            self._constant(f"{name}.beta", norm.bias),
        )

    def _first(self, tokens: str) -> str:
        start, end, axis = (
            self._constant(name, np.array([number], np.int64))
            for name, number in (("zero", 0), ("middle", 1), ("middle", 1))
        )
        return self._node("Slice", [tokens, start, end, axis])

    def _mask(self) -> str:
        if not any(node.output[0] == "mask" for node in self.nodes):
            self.nodes.append(
                helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.INT32)
            )
        return "mask"

    def _constant(self, name: str, values: Tensor | Values) -> str:
        if name not in self.constants:
            array = values if isinstance(values, np.ndarray) else _values(values)
            if array.dtype == np.float64:
                array = array.astype(np.float32)
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def _node(self, kind: str, given: list[str], **attributes: Any) -> str:
        name = self._name(kind)
        self.nodes.append(helper.make_node(kind, given, [name], name=name, **attributes))
        return name

    def _name(self, kind: str) -> str:
        return f"{kind}.{next(self.number)}"


def _parts(linear: Any) -> tuple[Values, Values]:
    return _values(linear.weight), _values(linear.bias)


def _values(tensor: Tensor) -> Values:
    found: Values = tensor.detach().float().cpu().numpy()
    return found
