"""The platform's training run, and beside its artefact the same weights in float32 as an ordinary folder.

`python -m benchmarks.support.training_run WEIGHTS --spec FILE --out DIR`. The run deletes its checkpoints when the artefact is
packed, and an artefact holds the quantised graph alone; the reference server needs what both were made from.
"""

import os
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

os.environ.setdefault(
    "OMP_WAIT_POLICY", "passive"
)  # as the run sets them; torch reads them when imported
os.environ.setdefault("GOMP_SPINCOUNT", "0")

from benchmarks.support.plain_model import save_plain
from sentops_trainer import run
from sentops_trainer.engine.packaging import pack


def main() -> int:
    weights, *arguments = sys.argv[1:]

    def pack_and_keep(training: Any, holdout: Any, labels: Any, *others: Any, **named: Any) -> Any:
        packed = pack(training, holdout, labels, *others, **named)
        trained = training.trained
        save_plain(trained.classifier, trained.encoder, labels, Path(weights))
        return packed

    with patch("sentops_trainer.engine.attempt.pack", pack_and_keep):
        return run.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
