"""The run, leaving notes: which rows each process trains on, and a hash of the weights it ends with.

`python -m tests.support.recorded_run` takes the run's own arguments; notes go to $RECORD_FOLDER.
"""

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

from sentops_trainer import run


def main() -> int:
    from sentops_trainer.engine import fine_tune

    notes = Path(os.environ["RECORD_FOLDER"]) / f"rank-{os.environ['RANK']}"
    tuner = fine_tune.FineTuner
    collate, train = tuner._collate, tuner.train

    def recorded_collate(self: Any, items: list[dict[str, Any]]) -> Any:
        with notes.with_suffix(".rows").open("a") as file:
            file.writelines(f"{item['number']}\n" for item in items)
        return collate(self, items)

    def recorded_train(self: Any, **options: Any) -> Any:
        done = train(self, **options)
        weights = hashlib.sha256()
        for parameter in self._classifier.parameters():
            weights.update(parameter.detach().numpy().tobytes())
        notes.with_suffix(".weights").write_text(weights.hexdigest())
        return done

    tuner._collate, tuner.train = recorded_collate, recorded_train
    return run.main()


if __name__ == "__main__":
    sys.exit(main())
