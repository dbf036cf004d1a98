"""A small network that answers easy texts at a hundredth of the full model's cost.

It knows what the full model knows of each token: its row of the token table, and what the full model answers for it
alone, both squeezed to a few numbers. A convolution over three tokens sees what stands beside what ("not good"), the
strongest and the mean of its findings go through one more layer.
"""

import torch
from torch import Tensor, nn

WINDOW = 3  # tokens that are seen together
FINDINGS = 192
HIDDEN = 64
DROPOUT = 0.3


class ByteRows(nn.Module):
    """A number of columns per token, in 8 bits with a scale per column."""

    weight: Tensor
    scale: Tensor

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        scale = values.abs().amax(dim=0).clamp_min(1e-8) / 127
        self.register_buffer("weight", (values / scale).round().to(torch.int8))
        self.register_buffer("scale", scale)

    def forward(self, input_ids: Tensor) -> Tensor:
        return nn.functional.embedding(input_ids, self.weight).float() * self.scale


class Student(nn.Module):
    """`forward(input_ids, attention_mask)` gives logits, like the classifier that it is to answer as."""

    def __init__(self, rows: ByteRows, *, labels: int) -> None:
        super().__init__()
        self.rows = rows
        width = rows.weight.shape[1]
        self.dropout = nn.Dropout(DROPOUT)
        self.window = nn.Linear(WINDOW * width, FINDINGS)
        self.hidden = nn.Linear(2 * FINDINGS, HIDDEN)
        self.head = nn.Linear(HIDDEN, labels)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        mask = attention_mask.unsqueeze(-1).float()
        tokens = self.dropout(self.rows(input_ids) * mask)
        edge = torch.zeros_like(tokens[:, :1])
        beside = torch.cat(
            [
                torch.cat([edge, tokens[:, :-1]], dim=1),
                tokens,
                torch.cat([tokens[:, 1:], edge], dim=1),
            ],
            dim=2,
        )
        found = torch.relu(self.window(beside)) * mask
        mean = found.sum(dim=1) / mask.sum(dim=1)
        pooled = torch.cat([found.amax(dim=1), mean], dim=1)
        logits: Tensor = self.head(self.dropout(torch.relu(self.hidden(self.dropout(pooled)))))
        return logits
