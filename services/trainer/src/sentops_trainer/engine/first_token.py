"""A last encoder layer that computes only the first token, when the head reads no other: exact, and a layer saved.

Keys and values still come from every token; the query, and all that follows it, from the first alone.
"""

import copy
from typing import Any

import structlog
import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from sentops_trainer.engine.classifier import Classifier

_ROUNDING = 1e-4  # of the largest logit; sums in another order differ by 1e-7 to 1e-6
_log = structlog.get_logger()


class FirstTokenLayer(nn.Module):
    """A layer as BERT, RoBERTa, XLM-R, ELECTRA and their kin have it, answering for the first token only."""

    attention: Any
    intermediate: Any
    output: Any

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.attention = layer.attention
        self.intermediate = layer.intermediate
        self.output = layer.output

    def forward(
        self, tokens: Tensor, attention_mask: Tensor | None = None, *_: object, **__: object
    ) -> Tensor:
        """(batch, 1, hidden) of (batch, tokens, hidden)."""
        first = tokens[:, :1]
        attended = self.attention.output(self._attend(first, tokens, attention_mask), first)
        found: Tensor = self.output(self.intermediate(attended), attended)
        return found

    def _attend(self, first: Tensor, tokens: Tensor, mask: Tensor | None) -> Tensor:
        inner = self.attention.self

        def by_head(values: Tensor) -> Tensor:
            return values.view(*values.shape[:2], -1, inner.attention_head_size).transpose(1, 2)

        attend = ALL_ATTENTION_FUNCTIONS[inner.config._attn_implementation]  # noqa: SLF001 - as the layer does
        heads, _ = attend(
            inner,
            by_head(inner.query(first)),
            by_head(inner.key(tokens)),
            by_head(inner.value(tokens)),
            None if mask is None else mask[:, :, :1],
            dropout=0.0,
            scaling=inner.scaling,
        )
        joined: Tensor = heads.flatten(2)
        return joined


def reading_first_token(classifier: Classifier) -> Classifier | None:
    """The same weights behind such a layer; None where the head reads more, or the encoder is of another build."""
    if classifier.pooling != "cls":
        return None
    try:
        leaner = sharing_weights(classifier)
        encoder: Any = leaner.encoder
        layers = encoder.encoder.layer
        layers[-1] = FirstTokenLayer(layers[-1])
        difference = _difference(classifier, leaner)
    except Exception as error:  # noqa: BLE001 - whatever an encoder we do not know may raise
        _log.info("last_layer_computes_all_tokens", why=str(error))
        return None
    if difference > _ROUNDING:
        _log.info("last_layer_computes_all_tokens", why="other logits", difference=difference)
        return None
    return leaner


def sharing_weights(classifier: Classifier) -> Classifier:
    """A copy whose modules can be exchanged, around the very same tensors."""
    tensors = (*classifier.parameters(), *classifier.buffers())
    return copy.deepcopy(classifier, {id(tensor): tensor for tensor in tensors})


def _difference(classifier: Classifier, leaner: Classifier) -> float:
    """The largest between the logits of made-up texts, one of them padded; relative to the largest logit."""
    generator = torch.Generator().manual_seed(1)
    width = min(24, classifier.longest_input)
    words = classifier.encoder.config.vocab_size
    probes = torch.randint(words, (8, width), generator=generator)
    mask = torch.ones_like(probes)
    mask[0, width // 2 :] = 0
    classifier.eval()
    leaner.eval()
    with torch.inference_mode():
        expected, found = classifier(probes, mask), leaner(probes, mask)
    return float((expected - found).abs().max() / expected.abs().max().clamp_min(1.0))
