"""How far annotators agree beyond chance."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence


def krippendorff_alpha(units: Iterable[tuple[Sequence[str], int]]) -> float | None:
    """Krippendorff's alpha for nominal labels: 1 is full agreement, 0 is chance. None: nothing to compare.

    `units` are the labels that one text got, and how many texts got just these. From K. Krippendorff, "Computing
    Krippendorff's Alpha-Reliability" (2011): 1 - (n - 1) * sum of o[c, k] / sum of n[c] * n[k], both over c != k.
    o[c, k] counts pairs of labels within a text, those of a text with m labels weighing 1 / (m - 1); n[c] is the
    sum of o[c, k] over k.
    """
    observed: defaultdict[tuple[str, str], float] = defaultdict(float)
    for labels, texts in units:
        counts = Counter(labels)
        for one, first in counts.items():
            for other, second in counts.items():
                pairs = first * (second - (one == other))
                if pairs:  # a label alone agrees with nobody
                    observed[one, other] += texts * pairs / (len(labels) - 1)
    totals: defaultdict[str, float] = defaultdict(float)
    for (one, _), value in observed.items():
        totals[one] += value
    everything = sum(totals.values())
    differing = sum(value for (one, other), value in observed.items() if one != other)
    by_chance = everything**2 - sum(total**2 for total in totals.values())
    if by_chance == 0:
        return None  # nothing, or one label only: habit and judgement would look the same
    return 1 - (everything - 1) * differing / by_chance
