"""`python -m benchmarks.support.train_reference TASK`: transformers' Trainer as it comes, texts padded to the longest allowed.

A linear head on the base's pooled tokens; everything else is TrainingArguments' default: AdamW over all weights,
5e-5 with linear decay, batches of 8 in random order, no evaluation. Scored after each epoch, off the clock.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import (
    AutoModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from benchmarks.support.amazon import LABELS
from benchmarks.support.learning import Course, Logits, Task, chatter_to_stderr
from sentops_trainer import base_models
from sentops_trainer.base_models import BaseModel

_DROPOUT = 0.1
_BATCH = 64


class Network(nn.Module):
    def __init__(self, base: BaseModel) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(base.folder, dtype=torch.float32)
        if hasattr(self.encoder, "pooler"):
            self.encoder.pooler = None
        self.pooling = base.pooling
        self.dropout = nn.Dropout(_DROPOUT)
        self.head = nn.Linear(self.encoder.config.hidden_size, len(LABELS))

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        tokens = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        if self.pooling == "cls":
            pooled = tokens[:, 0]
        else:
            mask = attention_mask.unsqueeze(-1).to(tokens.dtype)
            pooled = (tokens * mask).sum(dim=1) / mask.sum(dim=1)
        logits = self.head(self.dropout(pooled))
        if labels is None:
            return {"logits": logits}
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class Scoring(TrainerCallback):
    def __init__(self, course: Course, logits_of: Any) -> None:
        self._course, self._logits_of = course, logits_of

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self._course.measure(state.epoch, self._logits_of)


def main() -> None:
    task = Task.read(Path(sys.argv[1]))
    with chatter_to_stderr(), tempfile.TemporaryDirectory(prefix="sentops-train-") as name:
        base = base_models.resolve(task.base)
        arguments = TrainingArguments(output_dir=name, seed=task.seed, report_to="none")
        if task.epochs is not None:
            arguments.num_train_epochs = task.epochs
        set_seed(task.seed)
        network = Network(base)
        course = Course(task)
        tokenizer = _tokenizer(base)

        def encode(texts: list[str], padding: str) -> Any:
            return tokenizer(
                [base.prefix + text for text in texts],
                padding=padding,
                truncation=True,
                max_length=min(task.max_length, network.encoder.config.max_position_embeddings),
                return_tensors="pt",
            )

        def logits_of(texts: list[str]) -> Logits:
            return _logits(network, [encode(part, padding="longest") for part in _parts(texts)])

        encoded = encode([text for text, _ in task.train], padding="max_length")
        labels = [LABELS.index(label) for _, label in task.train]
        rows = [
            {**{key: value[number] for key, value in encoded.items()}, "labels": label}
            for number, label in enumerate(labels)
        ]
        trainer = Trainer(
            model=network,
            args=arguments,
            train_dataset=rows,
            callbacks=[Scoring(course, logits_of)],
        )
        trainer.train()
    course.deliver(logits_of, epochs=arguments.num_train_epochs)


def _tokenizer(base: BaseModel) -> Any:
    inner = Tokenizer.from_file(str(base.folder / "tokenizer.json"))
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=inner,
        pad_token=inner.id_to_token(base.pad_token_id),
        model_input_names=["input_ids", "attention_mask"],
    )


def _parts(texts: list[str]) -> list[list[str]]:
    return [texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH)]


def _logits(network: Network, batches: list[Any]) -> Logits:
    training = network.training
    network.eval()
    device = network.head.weight.device
    with torch.inference_mode():
        found = [network(**batch.to(device))["logits"].float().cpu().numpy() for batch in batches]
    network.train(training)
    logits: Logits = np.concatenate(found)
    return logits


if __name__ == "__main__":
    main()
