"""How far annotators agree, with each other and with what is known."""

from dataclasses import dataclass

from sentops_core.domain.labelling_agreement import krippendorff_alpha
from sentops_core.domain.quality import Accuracy, accuracy_of
from sentops_core.store.labelling_figures import AnnotatorFigures, LabellingFigures, PairFigures
from sentops_core.store.pool import Connection

# Krippendorff, "Content Analysis": rely on 0.8, draw tentative conclusions from 0.667.
GOOD, TENTATIVE = 0.8, 0.667
NEWEST_TEXTS = 5000


@dataclass(frozen=True)
class Measured:
    """One annotator; `gold` is the accuracy on texts whose label is known, None before the first."""

    figures: AnnotatorFigures
    gold: Accuracy | None


@dataclass(frozen=True)
class VersionOnDrawn:
    model_version: str
    accuracy: Accuracy


@dataclass(frozen=True)
class Agreement:
    """`alpha` is None where too little can be compared; `texts` have two labels or more."""

    alpha: float | None
    texts: int
    annotators: tuple[Measured, ...]
    pairs: tuple[PairFigures, ...]
    drawn: tuple[VersionOnDrawn, ...]

    @property
    def verdict(self) -> str:
        if self.alpha is None:
            return "unknown"
        if self.alpha >= GOOD:
            return "good"
        return "tentative" if self.alpha >= TENTATIVE else "poor"


async def agreement(connection: Connection) -> Agreement:
    """Over the newest texts of the queue."""
    figures = LabellingFigures(connection)
    since = await figures.since(NEWEST_TEXTS)
    units = await figures.units(since)
    drawn = [
        VersionOnDrawn(row.model_version, accuracy)
        for row in await figures.drawn(since)
        if (accuracy := accuracy_of(row.right, row.texts)) is not None
    ]
    return Agreement(
        alpha=krippendorff_alpha(units),
        texts=sum(texts for _, texts in units),
        annotators=tuple(
            Measured(row, accuracy_of(row.gold_right, row.gold))
            for row in await figures.annotators(since)
        ),
        pairs=tuple(await figures.pairs(since)),
        drawn=tuple(drawn),
    )
