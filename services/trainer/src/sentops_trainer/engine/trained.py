"""What either method hands on to export and evaluation."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sentops_trainer.engine.classifier import Classifier


@dataclass(frozen=True)
class Trained:
    """`calibration_*` come from training rows that the logits' model did not see; `notes` go to metrics.json."""

    classifier: Classifier
    calibration_logits: npt.NDArray[np.floating]
    calibration_labels: npt.NDArray[np.int64]
    notes: dict[str, object] = field(default_factory=dict)
