"""What either method hands on to export and evaluation."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sentops_trainer.engine.classifier import Classifier
from sentops_trainer.engine.encoding import Encoder
from sentops_trainer.engine.team import Team
from sentops_trainer.progress import Progress
from sentops_trainer.stopping import Stop


@dataclass(frozen=True)
class Workbench:
    """Where a method keeps what a restart can use, whom it tells how far it is, who may stop it, who helps."""

    folder: Path
    progress: Progress
    stop: Stop
    team: Team


@dataclass(frozen=True)
class Trained:
    """`calibration_*` come from training rows that the logits' model did not see; `notes` go to metrics.json.

    `calibration_rows` are their numbers among the training rows.
    """

    classifier: Classifier
    encoder: Encoder
    calibration_logits: npt.NDArray[np.floating]
    calibration_labels: npt.NDArray[np.int64]
    calibration_rows: npt.NDArray[np.int64]
    notes: dict[str, object] = field(default_factory=dict)
