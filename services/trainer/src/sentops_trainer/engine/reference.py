"""reference.json: what production is later compared with."""

from pathlib import Path

from sentops_core.domain.artifact import REFERENCE
from sentops_core.domain.reference import HeldOutAnswer, ReferenceText, profile_of
from sentops_core.inference import Scored
from sentops_core.language import DetectLanguage, language_detector
from sentops_trainer.rows import Dataset, Rows

# More would not make the counts any surer; detecting their languages takes some two seconds.
MOST_TEXTS = 20_000


def write_reference(
    folder: Path, dataset: Dataset, scored: list[Scored], *, detect: DetectLanguage | None = None
) -> None:
    """`scored` answers the held-out rows. Languages are detected as web does, whatever the dataset says of them."""
    detect = detect or language_detector()
    training = [dataset.train.texts[row] for row in _always_the_same(dataset.train)]
    answers = [
        HeldOutAnswer(dataset.holdout.texts[row], scored[row].label, scored[row].score)
        for row in _always_the_same(dataset.holdout)
    ]
    profile = profile_of([ReferenceText(text, detect(text)) for text in training], answers)
    (folder / REFERENCE).write_text(profile.model_dump_json())


def _always_the_same(rows: Rows) -> list[int]:
    return sorted(range(len(rows)), key=rows.hashes.__getitem__)[:MOST_TEXTS]
