"""Dropout that draws cheap random bits on a CPU, where torch's own takes a tenth of a small encoder's training."""

import torch
from torch import Tensor, nn

_LEVELS = 256  # of one random byte
_BYTES_PER_DRAW = 8
# What encoders call the dropout of their attention weights.
_OF_ATTENTION = ("attention_probs_dropout_prob", "attention_dropout")


class CheapDropout(nn.Dropout):
    """nn.Dropout with one random byte for each value; the share that goes is a multiple of 1/256.

    torch draws 64 bits for each value. Its generator is used here, too: a checkpoint brings back its state.
    """

    def forward(self, values: Tensor) -> Tensor:
        gone = round(self.p * _LEVELS)
        if not self.training or values.device.type != "cpu" or not 0 < gone < _LEVELS:
            return super().forward(values)
        count = values.numel()
        bits = torch.empty(-(-count // _BYTES_PER_DRAW), dtype=torch.int64)
        # From the lowest number on: without bounds random_ leaves the sign bit 0.
        bits.random_(-(2**63), None)
        kept = (bits.view(torch.uint8)[:count] >= gone).view(values.shape)
        return values * kept.to(values.dtype).mul_(_LEVELS / (_LEVELS - gone))


def make_dropout_cheap(module: nn.Module) -> None:
    """Replace every nn.Dropout below `module`."""
    for name, child in module.named_children():
        if type(child) is nn.Dropout:
            setattr(module, name, CheapDropout(child.p))
        else:
            make_dropout_cheap(child)


def without_attention_dropout(config: object) -> None:
    """With it torch computes attention in six passes over the weights rather than in one fused one."""
    for name in _OF_ATTENTION:
        if hasattr(config, name):
            setattr(config, name, 0.0)
