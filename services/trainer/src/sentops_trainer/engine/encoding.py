"""Texts to token ids, exactly as the server does it, and batches of rows of similar length."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor

_EVALUATION_BATCH = 64


@dataclass(frozen=True)
class Encoder:
    """The base's tokenizer with the prefix and the cut that config.json tells the server."""

    tokenizer: Tokenizer
    prefix: str
    pad_token_id: int
    max_length: int

    @classmethod
    def load(cls, folder: Path, *, prefix: str, pad_token_id: int, max_length: int) -> "Encoder":
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length=max_length)
        return cls(tokenizer, prefix, pad_token_id, max_length)

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, special tokens included."""
        encodings = self.tokenizer.encode_batch([self.prefix + text for text in texts])
        return [encoding.ids for encoding in encodings]

    def pad(self, rows: list[list[int]]) -> tuple[Tensor, Tensor]:
        """(input_ids, attention_mask) of one batch, as wide as its longest row."""
        width = max(len(row) for row in rows)
        input_ids = torch.full((len(rows), width), self.pad_token_id, dtype=torch.long)
        attention_mask = torch.zeros((len(rows), width), dtype=torch.long)
        for number, row in enumerate(rows):
            input_ids[number, : len(row)] = torch.tensor(row)
            attention_mask[number, : len(row)] = 1
        return input_ids, attention_mask


def in_batches(
    encoder: Encoder,
    rows: list[list[int]],
    compute: Callable[[Tensor, Tensor], Tensor],
    *,
    device: torch.device,
    on_batch: Callable[[int], None] = lambda _done: None,
) -> npt.NDArray[np.float32]:
    """What `compute` gives for each row, in order; sorted by length inside, so that little is padding."""
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    results: list[npt.NDArray[np.float32] | None] = [None] * len(rows)
    with torch.inference_mode():
        for start in range(0, len(order), _EVALUATION_BATCH):
            batch = order[start : start + _EVALUATION_BATCH]
            input_ids, attention_mask = encoder.pad([rows[index] for index in batch])
            values = compute(input_ids.to(device), attention_mask.to(device)).float().cpu().numpy()
            for index, value in zip(batch, values, strict=True):
                results[index] = value
            on_batch(start + len(batch))
    return np.stack([result for result in results if result is not None])
