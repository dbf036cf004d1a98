"""Canary evidence: votes on the candidate against votes on the champion over the same time."""

import math

from sentops_core.domain.quality import wilson_interval
from sentops_core.domain.resources import AnalysisResult, Metric, Verdict

# How much worse than the champion a canary may turn out to be and still go on.
TOLERATED_DROP = 0.05


def compare_votes(
    candidate: tuple[int, int], champion: tuple[int, int], *, min_samples: int
) -> AnalysisResult:
    """Each pair is (votes that agree, votes). Newcombe's interval (1998, method 10) of the difference."""
    fewest = min(candidate[1], champion[1])
    if fewest < min_samples:
        reason = f"{candidate[1]} votes on the candidate and {champion[1]} on the champion; {min_samples} each are wanted."
        return AnalysisResult(verdict=Verdict.INCONCLUSIVE, reason=reason)
    low, high = difference_interval(candidate, champion)
    share, champion_share = candidate[0] / candidate[1], champion[0] / champion[1]
    if high < 0:
        verdict = Verdict.FAIL
    elif low >= -TOLERATED_DROP:
        verdict = Verdict.PASS
    else:
        verdict = Verdict.INCONCLUSIVE
    return AnalysisResult(
        verdict=verdict,
        reason=f"Feedback agrees with the candidate in {share:.1%}, with the champion in {champion_share:.1%}; difference between {low:+.1%} and {high:+.1%}.",
        metrics=(
            Metric(name="feedback_accuracy", value=f"{share:.4f}"),
            Metric(name="champion_feedback_accuracy", value=f"{champion_share:.4f}"),
        ),
    )


def difference_interval(first: tuple[int, int], second: tuple[int, int]) -> tuple[float, float]:
    """95 % interval of the difference of two shares, first minus second."""
    first_low, first_high = wilson_interval(*first)
    second_low, second_high = wilson_interval(*second)
    p_first, p_second = first[0] / first[1], second[0] / second[1]
    difference = p_first - p_second
    low = difference - math.hypot(p_first - first_low, second_high - p_second)
    high = difference + math.hypot(first_high - p_first, p_second - second_low)
    return low, high
