"""How FineTune learns: Trainer's arguments, the optimiser, and what the machine at hand allows."""

import math
from pathlib import Path

import torch
from torch import nn
from transformers import TrainingArguments

from sentops_trainer.engine.classifier import Classifier
from sentops_trainer.engine.team import device
from sentops_trainer.hyperparameters import FineTuneSettings

# Few validation rows judge by luck: of more evaluations an early one would then win, and the run stop too soon.
_ROWS_FOR_TWO_EVALUATIONS = 500
HEAD_RATE_FACTOR = 10
_STEPS_BETWEEN_CHECKPOINTS = 50  # about a minute on two cores
# About a gigabyte of activations in a base of 12 layers of 384 for the first.
_TOKENS_AT_ONCE, _TOKENS_AT_ONCE_ON_GPU = 2048, 16384
_FIRST_WITH_TENSOR_CORES = (7, 0)


def arguments(
    settings: FineTuneSettings, folder: Path, batch_size: int, steps_per_epoch: int
) -> TrainingArguments:
    """`batch_size` is one process's."""
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=batch_size,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=math.ceil(settings.warmup_ratio * steps_per_epoch * settings.epochs),
        max_grad_norm=1.0,
        eval_strategy="epoch",  # and in between: see fine_tune
        metric_for_best_model="eval_macro_f1",
        greater_is_better=True,
        save_strategy="steps",
        save_steps=min(_STEPS_BETWEEN_CHECKPOINTS, math.ceil(steps_per_epoch / 2)),
        save_total_limit=2,
        restore_callback_states_from_checkpoint=True,
        logging_steps=max(1, steps_per_epoch // 10),
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        disable_tqdm=True,
        seed=settings.seed,
        use_cpu=not torch.cuda.is_available(),  # said outright: only then several processes share a CPU training
        # The only buffers are the frozen token table: alike everywhere, and too large to send at every step.
        ddp_broadcast_buffers=False,
        ddp_find_unused_parameters=True,  # an encoder may have weights that its hidden states do not need
        bf16=half_precision() == "bf16",
        fp16=half_precision() == "fp16",
    )


def evaluations_per_epoch(validation_rows: int) -> int:
    return 2 if validation_rows >= _ROWS_FOR_TWO_EVALUATIONS else 1


def as_good_as(score: float, best: float, *, rows: int) -> bool:
    """Whether two shares right of so many rows cannot be told apart: one standard error, as of a single share."""
    return score >= best - math.sqrt(best * (1 - best) / rows)


def half_precision() -> str | None:
    """What a GPU has units for, bf16 or else fp16; None on a CPU, where most only emulate it, many times slower."""
    if not torch.cuda.is_available():
        return None
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16"
    return "fp16" if torch.cuda.get_device_capability() >= _FIRST_WITH_TENSOR_CORES else None


def tokens_at_once() -> int:
    """Tokens, padding included, that go through the network together in training."""
    return _TOKENS_AT_ONCE if device().type == "cpu" else _TOKENS_AT_ONCE_ON_GPU


def optimizer(classifier: Classifier, settings: FineTuneSettings) -> torch.optim.AdamW:
    """Fused AdamW; the head starts from nothing and learns faster than what was pretrained."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in classifier.named_parameters():
        if parameter.requires_grad:
            rate = settings.learning_rate * (HEAD_RATE_FACTOR if name.startswith("head.") else 1)
            decay = settings.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": rate, "weight_decay": decay}
            for (rate, decay), parameters in groups.items()
        ],
        fused=True,
    )
