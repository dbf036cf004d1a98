"""Whether answers are right as often as their confidence says, measured on votes."""

import math
from collections.abc import Mapping

from sentops_core.domain.quality import Z_95, Accuracy
from sentops_core.domain.tallies import CONFIDENCE_BINS, SCORE_UNIT, Counts, VoteTally

BINS = 10  # as in the evaluation of a training: figures of few bins are told from chance sooner
_MERGED = CONFIDENCE_BINS // BINS


def calibration_error_of(votes: VoteTally, z: float = Z_95) -> Accuracy | None:
    """The expected calibration error over ten bins of equal width, with its 95 % interval; None without votes.

    The value is the usual one (Naeini et al., 2015): the mean of |share of agreement - mean confidence| over the bins,
    by votes, as the version's card has it for held-out rows. It can only overstate: chance alone moves each bin off the
    line (Kumar et al., 2019; Roelofs et al., 2022). The interval therefore is the normal one of a sum of independent
    bins (delta method), reaching lower by the most that chance can have added: sqrt(2/pi) standard errors of each bin,
    the mean of a folded normal distribution around 0. Few votes make it wide, and 0 lies in it until the model is proven
    to be miscalibrated.
    """
    if votes.votes == 0:
        return None
    value = chance = errors = squares = 0.0
    binned = zip(_merged(votes.voted), _merged(votes.right), _merged(votes.scores), strict=True)
    for voted, right, scores in binned:
        if voted == 0:
            continue
        weight = voted / votes.votes
        off = abs(right - scores / SCORE_UNIT) / voted
        value += weight * off
        squares += weight * off * off
        # Two more of each kind (Agresti and Coull, 1998), so that a bin of one vote is not taken for certain.
        share = (right + 2) / (voted + 4)
        variance = share * (1 - share) / voted
        chance += weight * math.sqrt(2 * variance / math.pi)
        errors += weight * weight * variance
    half = z * math.sqrt(errors + max(0.0, squares - value * value) / votes.votes)
    return Accuracy(
        value=value,
        low=max(0.0, value - chance - half),
        high=min(1.0, value + half),
        samples=votes.votes,
    )


def _merged(by_label: Mapping[str, Counts]) -> list[int]:
    """All labels together, in tenths."""
    sums = [0] * BINS
    for counts in by_label.values():
        for number, count in enumerate(counts):
            sums[number // _MERGED] += count
    return sums
