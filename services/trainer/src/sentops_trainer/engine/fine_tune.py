"""The thorough method: the whole encoder but its token table learns, with transformers' Trainer.

Trainer brings what must not be home-made: checkpoints with optimiser and random state, resuming, distributed
runs, and progress in Kubeflow's protocol. Ours are the smoothed labels, the averaged weights, and an
evaluation on a validation part of the training rows; the held-out rows are never seen here.
"""

import json
import math
import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.utils.data import Sampler
from transformers import (
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from sentops_trainer.engine.averaging import AveragedWeights, averaging_window
from sentops_trainer.engine.calibration import fit_temperature, log_loss
from sentops_trainer.engine.classifier import Classifier
from sentops_trainer.engine.encoding import Encoder, in_batches
from sentops_trainer.engine.linear import fit_head, put_head
from sentops_trainer.engine.order import SimilarLengths
from sentops_trainer.engine.recipe import (
    arguments,
    as_good_as,
    evaluations_per_epoch,
    optimizer,
    tokens_at_once,
)
from sentops_trainer.engine.team import Team
from sentops_trainer.engine.trained import Trained, Workbench
from sentops_trainer.evaluation import macro_f1
from sentops_trainer.failures import RunFailure
from sentops_trainer.hyperparameters import FineTuneSettings
from sentops_trainer.rows import Rows
from sentops_trainer.stopping import Stop

VALIDATION_SHARE = 0.1
_MOST_VALIDATION_ROWS = 4000  # more tell hardly more, and each evaluation reads them all
LABEL_SMOOTHING = 0.1
# How far the finished head leans from the training rows' label mix (0) to equal shares (1): macro-F1 counts every
# label alike, and accuracy starts to fall past a half.
LEAN = 0.5
_START_STRENGTH = 0.01  # regularisation of the head that training starts from
# For the head that training starts from; the whole of 2,000 rows would cost a third of an epoch.
_START_ROWS, _START_ROWS_PER_LABEL = 600, 30
_AVERAGE = "average.safetensors"
_BEST = "best.safetensors"
_log = structlog.get_logger()


def train_fine_tune(
    classifier: Classifier,
    encoder: Encoder,
    rows: Rows,
    settings: FineTuneSettings,
    bench: Workbench,
) -> Trained | None:
    """Fine-tune in the bench's folder, going on from the last whole checkpoint there.

    None from every process but the first: after the training they are done.
    """
    ranks = bench.team.ranks
    parts = _split(rows, settings.seed)
    trainer = FineTuner(classifier, encoder, parts, settings, bench)
    if trainer.args.world_size != ranks.total:
        raise RunFailure(
            f"{trainer.args.world_size} of {ranks.total} processes found each other to train together"
        )
    checkpoint = bench.team.from_first(lambda: last_checkpoint(bench.folder))
    if checkpoint is not None and not checkpoint.is_dir():
        raise RunFailure(
            f"{checkpoint.name} of an earlier attempt is not in the work folder of every node: mount one that all "
            "nodes share, or an empty one"
        )
    if ranks.own:
        # Other dropout than the first's; the first weights are taken from there all the same.
        set_seed(settings.seed + ranks.own)
    elif checkpoint is None and classifier.pooled_as_pretrained:
        _start_from_fitted_head(classifier, encoder, parts.fitted, settings)
        trainer.average_anew()
    _log.info(
        "fine_tuning",
        rows=len(parts.fitted),
        validation_rows=len(parts.validation),
        resumed_from=checkpoint.name if checkpoint else None,
        processes=ranks.total,
    )
    with bench.stop.at_the_next_step():
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if not ranks.first:
        return None
    # In half precision the classifier computed as long as it was trained.
    trainer.accelerator.unwrap_model(classifier, keep_fp32_wrapper=False)
    trainer.average.load(bench.folder / _BEST)
    trainer.average.keep_for_good()
    with torch.no_grad():
        classifier.head.bias.sub_(torch.as_tensor(trainer.leaning).to(classifier.device))
    logits = trainer.logits(trainer.validation_ids)
    return Trained(
        classifier=classifier,
        encoder=encoder,
        calibration_logits=logits,
        calibration_labels=parts.validation.labels,
        calibration_rows=parts.validation_rows,
        notes={
            "learning_curve": trainer.state.log_history,
            "resumed_from": checkpoint.name if checkpoint else None,
            "validation_rows": len(parts.validation),
            "processes": ranks.total,
        },
    )


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint written to its end; trainer_state.json is what Trainer writes last."""
    found = sorted(
        folder.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]), reverse=True
    )
    for checkpoint in found:
        try:
            json.loads((checkpoint / "trainer_state.json").read_bytes())
        except (OSError, ValueError):
            _log.warning("half_checkpoint_removed", checkpoint=checkpoint.name)
            shutil.rmtree(checkpoint)
        else:
            return checkpoint
    return None


def _start_from_fitted_head(
    classifier: Classifier, encoder: Encoder, rows: Rows, settings: FineTuneSettings
) -> None:
    """Let the head fit the frozen features first: a random one would pull them apart in the first steps."""
    rows = rows.at(_some_of_each(rows.labels, settings.seed))
    classifier.eval()
    features = in_batches(
        encoder, encoder.encode(rows.texts), classifier.features, device=classifier.device
    )
    put_head(classifier, fit_head(features, rows, _START_STRENGTH, settings.seed))


def _some_of_each(labels: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    """The numbers of enough rows for a first head, as many of each label as there are."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    kinds = np.unique(labels)
    each = max(_START_ROWS // len(kinds), _START_ROWS_PER_LABEL)
    return np.concatenate([shuffled[labels[shuffled] == kind][:each] for kind in kinds])


def _leaning(rows: Rows, labels: int) -> npt.NDArray[np.float32]:
    """Logit adjustment (Menon et al., 2021): the part of each label's log share that is taken off its logit."""
    shares = np.bincount(rows.labels, minlength=labels) / len(rows)
    leaning: npt.NDArray[np.float32] = (LEAN * np.log(shares)).astype(np.float32)
    return leaning


@dataclass(frozen=True)
class _Parts:
    fitted: Rows
    validation: Rows
    validation_rows: npt.NDArray[np.int64]


def _split(rows: Rows, seed: int) -> _Parts:
    """A validation part with every label in it."""
    labels = len(np.unique(rows.labels))
    size = max(labels, min(_MOST_VALIDATION_ROWS, round(len(rows) * VALIDATION_SHARE)))
    fitted, validation = train_test_split(
        np.arange(len(rows)), test_size=size, random_state=seed, stratify=rows.labels
    )
    return _Parts(rows.at(fitted), rows.at(validation), validation)


class FineTuner(Trainer):
    def __init__(
        self,
        classifier: Classifier,
        encoder: Encoder,
        parts: _Parts,
        settings: FineTuneSettings,
        bench: Workbench,
    ) -> None:
        self._classifier = classifier
        self.encoder = encoder
        self._parts = parts
        self.validation_ids = encoder.encode(parts.validation.texts)
        self.leaning = _leaning(parts.fitted, classifier.head.out_features)
        self._best_path = bench.folder / _BEST
        self._best_score = 0.0
        self._team = bench.team
        ids = encoder.encode(parts.fitted.texts)
        self._lengths = [len(row) for row in ids]
        each = math.ceil(settings.batch_size / bench.team.ranks.total)
        steps_per_epoch = math.ceil(len(parts.fitted) / (each * bench.team.ranks.total))
        evaluations = evaluations_per_epoch(len(parts.validation))
        self._window = averaging_window(steps_per_epoch * settings.epochs)
        self.average_anew()
        super().__init__(
            model=classifier,
            args=arguments(settings, bench.folder, each, steps_per_epoch),
            train_dataset=[{"input_ids": row, "number": n} for n, row in enumerate(ids)],
            eval_dataset=[{"input_ids": row} for row in self.validation_ids],
            data_collator=self._collate,
            optimizers=(optimizer(classifier, settings), None),
            callbacks=[
                EarlyStoppingCallback(settings.early_stopping_patience * evaluations),
                _StopWhenAsked(bench.stop, bench.team),
                _FollowWeights(self, steps_per_epoch, evaluations),
            ],
        )

    def average_anew(self) -> None:
        """From the weights as they are now."""
        self.average = AveragedWeights(self._classifier, self._window)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:  # noqa: ARG002
        together = self.args.train_batch_size * self._team.ranks.total
        return SimilarLengths(
            self._lengths, together, self.args.seed, lambda: self.state.epoch or 0.0
        )

    def logits(self, ids: list[list[int]]) -> npt.NDArray[np.float32]:
        self._classifier.eval()
        return in_batches(self.encoder, ids, self._classifier, device=self._classifier.device)

    def judged_logits(self, ids: list[list[int]]) -> npt.NDArray[np.float32]:
        """Those of the model that would come of it if training ended here."""
        with self.average.in_place():
            return self.logits(ids) - self.leaning

    def training_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        num_items_in_batch: Tensor | int | None = None,  # noqa: ARG002
    ) -> Tensor:
        """One batch's gradients, long texts in portions: a batch's memory grows with its longest text."""
        model.train()
        inputs = self._prepare_inputs(inputs)
        # Of all processes' batches: gradients are averaged over them, so that each row counts by its weight alone.
        total = self._team.mean(inputs["weights"].sum())
        rows_at_once = max(1, tokens_at_once() // inputs["input_ids"].shape[1])
        loss = torch.zeros((), device=total.device)
        starts = range(0, len(inputs["weights"]), rows_at_once)
        for start in starts:
            part = {name: value[start : start + rows_at_once] for name, value in inputs.items()}
            # Processes meet once a step, however many portions each of them has.
            meeting = nullcontext() if start == starts[-1] else self.accelerator.no_sync(model)
            with meeting:
                logits = model(part["input_ids"], part["attention_mask"])
                losses = nn.functional.cross_entropy(
                    logits, part["targets"], reduction="none", label_smoothing=LABEL_SMOOTHING
                )
                part_loss = (losses * part["weights"]).sum() / total
                self.accelerator.backward(part_loss)
            loss += part_loss.detach()
        return loss

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The first process's measurement; all of them log it, and stop early or go on by it."""
        metrics = self._team.from_first(self._measure)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _measure(self) -> dict[str, float]:
        """The averaged weights on the validation rows, judged by macro-F1 like a candidate by the gate.

        The loss is the one at the best temperature, since calibration follows anyway.
        """
        labels = self._parts.validation.labels
        logits = self.judged_logits(self.validation_ids)
        temperature = fit_temperature(logits, labels)
        predicted = logits.argmax(axis=1).astype(np.int64)
        metrics = {
            "eval_loss": round(log_loss(logits, labels, temperature), 4),
            "eval_macro_f1": round(macro_f1(labels, predicted, logits.shape[1]), 4),
            "eval_accuracy": round(float((predicted == labels).mean()), 4),
            "eval_temperature": temperature,
        }
        score = metrics["eval_macro_f1"]
        self._best_score = max(self._best_score, score)
        # Of those that cannot be told apart the latest: it has seen most, and learnt in the smallest steps.
        if as_good_as(score, self._best_score, rows=len(labels)):
            self.average.save(self._best_path)
        return metrics

    def _collate(self, items: list[dict[str, Any]]) -> dict[str, Tensor]:
        input_ids, attention_mask = self.encoder.pad([item["input_ids"] for item in items])
        numbers = [item["number"] for item in items]
        return {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "targets": torch.as_tensor(self._parts.fitted.labels[numbers]),
            "weights": torch.as_tensor(self._parts.fitted.weights[numbers], dtype=torch.float32),
        }

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        if output_dir is not None and self.args.should_save:
            self.average.save(Path(output_dir) / _AVERAGE)

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: nn.Module | None = None
    ) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        checkpoint = Path(resume_from_checkpoint)
        self.average.load(checkpoint / _AVERAGE)
        state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        if state.best_metric is not None:
            self._best_score = state.best_metric


class _FollowWeights(TrainerCallback):
    def __init__(self, trainer: FineTuner, steps_per_epoch: int, evaluations: int) -> None:
        self._trainer = trainer
        self._steps_per_epoch = steps_per_epoch
        self._evaluations = evaluations

    def on_step_end(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,
        **_: Any,
    ) -> None:
        self._trainer.average.update(state.global_step)
        step = state.global_step % self._steps_per_epoch
        # At an epoch's end, where this is 0, Trainer evaluates by itself.
        if step and self._evaluations_until(step) > self._evaluations_until(step - 1):
            control.should_evaluate = True

    def _evaluations_until(self, step: int) -> int:
        return step * self._evaluations // self._steps_per_epoch


class _StopWhenAsked(TrainerCallback):
    def __init__(self, stop: Stop, team: Team) -> None:
        self._stop = stop
        self._team = team

    def on_step_end(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,  # noqa: ARG002
        control: TrainerControl,
        **_: Any,
    ) -> None:
        # Whoever is asked first: all processes must leave the training at the same step.
        if self._team.anyone(self._stop.requested):
            self._stop.requested = True
            control.should_save = True
            control.should_training_stop = True
