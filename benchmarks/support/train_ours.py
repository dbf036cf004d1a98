"""`python -m benchmarks.support.train_ours TASK`: the platform's FineTune with its defaults, scored on the way."""

import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from transformers import set_seed

from benchmarks.support.amazon import LABELS, Rows
from benchmarks.support.learning import Course, Logits, Task, chatter_to_stderr
from sentops_core.domain.resources import Hyperparameters, Method
from sentops_trainer import base_models, rows
from sentops_trainer.engine import fine_tune
from sentops_trainer.engine.classifier import load_classifier
from sentops_trainer.engine.encoding import Encoder, in_batches
from sentops_trainer.engine.team import Team
from sentops_trainer.engine.trained import Trained, Workbench
from sentops_trainer.hyperparameters import FineTuneSettings, for_rows, settle
from sentops_trainer.progress import Progress
from sentops_trainer.ranks import Ranks
from sentops_trainer.stopping import Stop


def main() -> None:
    task = Task.read(Path(sys.argv[1]))
    with chatter_to_stderr(), tempfile.TemporaryDirectory(prefix="sentops-train-") as name:
        base = base_models.resolve(task.base)
        set_seed(task.seed)
        classifier = load_classifier(base, labels=len(LABELS), pooling=base.fine_tuning_pooling)
        course = Course(task)
        encoder = Encoder.load(
            base.folder,
            prefix=base.prefix,
            pad_token_id=base.pad_token_id,
            max_length=min(task.max_length, classifier.longest_input),
        )
        given = Hyperparameters(seed=task.seed, max_length=task.max_length, epochs=task.epochs)
        settings = for_rows(settle(Method.FINE_TUNE, given), given, len(task.train))
        assert isinstance(settings, FineTuneSettings)
        bench = Workbench(Path(name), Progress(None, None), Stop(), Team(Ranks()))
        with _scored(course):
            trained = fine_tune.train_fine_tune(
                classifier, encoder, _as_rows(task.train), settings, bench
            )
    assert trained is not None
    measured: Any = trained.notes["learning_curve"]
    epochs = max(line["epoch"] for line in measured)
    course.deliver(lambda texts: _logits(trained, texts), epochs=round(epochs, 2))


def _scored(course: Course) -> Any:
    """Each of the training's own evaluations is followed by one on the test rows, off the clock."""
    tuner = fine_tune.FineTuner
    evaluate = tuner.evaluate

    def evaluate_and_score(trainer: Any, *given: Any, **named: Any) -> dict[str, float]:
        metrics = evaluate(trainer, *given, **named)
        course.measure(
            trainer.state.epoch or 0.0,
            lambda texts: trainer.judged_logits(trainer.encoder.encode(texts)),
        )
        return metrics

    return patch.object(tuner, "evaluate", evaluate_and_score)


def _logits(trained: Trained, texts: list[str]) -> Logits:
    trained.classifier.eval()
    ids = trained.encoder.encode(texts)
    return in_batches(trained.encoder, ids, trained.classifier, device=trained.classifier.device)


def _as_rows(given: Rows) -> rows.Rows:
    return rows.Rows(
        hashes=[str(number) for number in range(len(given))],
        texts=[text for text, _ in given],
        labels=np.array([LABELS.index(label) for _, label in given]),
        languages=["en"] * len(given),
        weights=np.ones(len(given)),
    )


if __name__ == "__main__":
    main()
