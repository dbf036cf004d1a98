"""The quick method: a frozen encoder's features, and a regularised logistic regression on them.

Standardised features, balanced classes, the strength of regularisation by cross-validation on the training
rows; then both the scaling and the regression are folded into the classifier's linear head.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import structlog
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

from sentops_trainer.engine.calibration import log_loss
from sentops_trainer.engine.classifier import Classifier
from sentops_trainer.engine.encoding import Encoder, in_batches
from sentops_trainer.engine.trained import Trained, Workbench
from sentops_trainer.evaluation import macro_f1
from sentops_trainer.hyperparameters import LinearSettings
from sentops_trainer.progress import Progress
from sentops_trainer.rows import Rows

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
# Of the median deviation: some bases have dimensions that are 0 but for rounding. Brought to the size of the others they
# would get weights of 1e30, beside which eight bits can hold none of the others.
_DEAD = 1e-4
_FOLDS = 5
_FEATURES = "features.npy"
_log = structlog.get_logger()

Matrix = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Head:
    """A linear head on the raw features: logits = features @ weight.T + bias."""

    weight: Matrix
    bias: Matrix

    def logits(self, features: Matrix) -> Matrix:
        logits: Matrix = features @ self.weight.T + self.bias
        return logits


def train_linear(
    classifier: Classifier,
    encoder: Encoder,
    rows: Rows,
    settings: LinearSettings,
    bench: Workbench,
) -> Trained:
    """Fit the head of `classifier`; the features are kept, so a restart does not compute them again."""
    features = _features(classifier, encoder, rows, bench)
    bench.progress.report(80, force=True, step="fitting the head")
    strength, curve, logits = _cross_validate(features, rows, settings.seed)
    put_head(classifier, fit_head(features, rows, strength, settings.seed))
    _log.info("head_fitted", strength=strength, rows=len(rows))
    return Trained(
        classifier=classifier,
        encoder=encoder,
        calibration_logits=logits,
        calibration_labels=rows.labels,
        calibration_rows=np.arange(len(rows)),
        notes={"regularisation": curve, "chosen_strength": strength},
    )


def fit_head(features: Matrix, rows: Rows, strength: float, seed: int) -> Head:
    """Logistic regression on standardised features, expressed on the features as they are."""
    scaler = StandardScaler().fit(features)
    alive = scaler.scale_ > _DEAD * np.median(scaler.scale_)
    regression = LogisticRegression(
        C=strength, class_weight="balanced", max_iter=2000, random_state=seed
    )
    regression.fit(scaler.transform(features) * alive, rows.labels, sample_weight=rows.weights)
    coefficients, intercepts = regression.coef_, regression.intercept_
    if (
        len(coefficients) == 1
    ):  # two classes: scikit-learn keeps one row, the second class's log odds
        coefficients = np.vstack([np.zeros_like(coefficients), coefficients])
        intercepts = np.concatenate([[0.0], intercepts])
    weight = np.where(alive, coefficients / scaler.scale_, 0.0)
    return Head(weight=weight, bias=intercepts - weight @ scaler.mean_)


def put_head(classifier: Classifier, head: Head) -> None:
    with torch.no_grad():
        classifier.head.weight.copy_(torch.as_tensor(head.weight, dtype=torch.float32))
        classifier.head.bias.copy_(torch.as_tensor(head.bias, dtype=torch.float32))


def compute_features(
    classifier: Classifier, encoder: Encoder, rows: Rows, progress: Progress
) -> Matrix:
    """The pooled features of every row; progress goes from 0 to 75 percent."""
    classifier.eval()
    return in_batches(
        encoder,
        encoder.encode(rows.texts),
        classifier.features,
        device=classifier.device,
        on_batch=lambda done: progress.report(
            75 * done // len(rows), step="computing features", rows=done
        ),
    )


def _features(classifier: Classifier, encoder: Encoder, rows: Rows, bench: Workbench) -> Matrix:
    path = bench.folder / _FEATURES
    if path.is_file():
        kept: Matrix = np.load(path)
        if len(kept) == len(rows):
            _log.info("features_reused", rows=len(rows))
            return kept
    features = compute_features(classifier, encoder, rows, bench.progress)
    partial = path.with_suffix(".partial.npy")
    np.save(partial, features)
    partial.rename(path)
    return features


def _cross_validate(
    features: Matrix, rows: Rows, seed: int
) -> tuple[float, list[dict[str, float]], Matrix]:
    """The strength with the best macro-F1 over the folds, the whole curve, and its out-of-fold logits."""
    smallest = int(np.bincount(rows.labels).min())
    folds = list(
        StratifiedKFold(min(_FOLDS, smallest), shuffle=True, random_state=seed).split(
            features, rows.labels
        )
    )
    labels = int(rows.labels.max()) + 1
    curve: list[dict[str, float]] = []
    best: tuple[float, float, Matrix] | None = None
    for strength in STRENGTHS:
        logits = np.empty((len(rows), labels))
        for fitted, left_out in folds:
            head = fit_head(features[fitted], rows.at(fitted), strength, seed)
            logits[left_out] = head.logits(features[left_out])
        score = macro_f1(rows.labels, logits.argmax(axis=1).astype(np.int64), labels)
        loss = log_loss(logits, rows.labels)
        curve.append({"strength": strength, "macro_f1": round(score, 4), "loss": round(loss, 4)})
        if best is None or score > best[0]:
            best = (score, strength, logits)
    assert best is not None  # noqa: S101 - STRENGTHS is not empty
    return best[1], curve, best[2]
