"""Temperature scaling: one number that makes the probabilities mean what they say, and moves no label."""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

_SMALLEST, _LARGEST = 0.25, 10.0

Logits = npt.NDArray[np.floating]
Labels = npt.NDArray[np.int64]


def log_loss(logits: Logits, labels: Labels, temperature: float = 1.0) -> float:
    """Mean negative log likelihood of the true labels."""
    scaled = log_softmax(logits.astype(np.float64) / temperature, axis=1)
    return float(-scaled[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: Logits, labels: Labels) -> float:
    """The temperature with the least log loss on these rows."""
    found = minimize_scalar(
        lambda exponent: log_loss(logits, labels, float(np.exp(exponent))),
        bounds=(np.log(_SMALLEST), np.log(_LARGEST)),
        method="bounded",
    )
    return round(float(np.exp(found.x)), 4)
