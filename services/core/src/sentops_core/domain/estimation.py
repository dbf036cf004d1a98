"""How many answers are probably right though nobody said so, from how sure the model was of them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from sentops_core.domain.quality import Z_95, Accuracy, right_of
from sentops_core.domain.tallies import CONFIDENCE_BINS, AnswerTally, Counts, VoteTally, total_votes

LEAST_VOTES = 100  # in each half: fewer could not contradict anything
MOST_OF_ONE_SOURCE = 0.5
MOST_UNVOTED = 0.2  # of the answers, at a confidence that nobody voted on
TOLERANCE = 0.03  # many votes prove differences that nobody minds
_Z_99 = 2.575829
_OVERALL_WEIGHT = 2.0  # votes that the confidence itself is worth
_LABEL_WEIGHT = 10.0  # votes that all labels together are worth where one label has few


@dataclass(frozen=True)
class VoteHalves:
    """The votes of four weeks, halved by the time of the answers: what was learnt first, and what it is tried on."""

    older: VoteTally
    newer: VoteTally
    largest_source_share: float | None = None

    @cached_property
    def all(self) -> VoteTally:
        return self.older + self.newer

    @cached_property
    def doubt(self) -> str | None:
        """Why nothing should be learnt from them."""
        return _untrusted(self) or _contradiction(self)


@dataclass(frozen=True)
class Estimate:
    """Either a value, or why there is none."""

    accuracy: Accuracy | None = None
    refused: str | None = None


def estimate_of(answers: AnswerTally, votes: VoteHalves) -> Estimate:
    """Estimated accuracy of these answers, as in CBPE (confidence-based performance estimation, of NannyML).

    Each answer counts with the share of votes that agreed with answers of the same label and confidence (twentieths,
    drawn towards all labels' share, and that towards the confidence itself, where votes are few). What it assumes:
    (1) people vote on an answer no more readily because it is wrong, other than by its label and confidence; (2) what
    confidence meant in the four weeks of votes it still means. Only inputs may change, not what is right for them.
    Neither can be proven, but the second is tried: what the older half of the votes leads to expect is compared with
    what the newer half says, and a contradiction, too few votes, votes of mostly one source, or answers of a
    confidence that nobody voted on switch the estimate off, with the reason. The 95 % interval holds what chance does to
    the votes and to the answers, not a failure of the assumptions.
    """
    if refused := votes.doubt or _beyond(answers, votes.all):
        return Estimate(refused=refused)
    mean, variance = _expected(answers.confidences, _Meaning(votes.all))
    half = Z_95 * math.sqrt(variance)
    value = Accuracy(mean, max(0.0, mean - half), min(1.0, mean + half), answers.answers)
    return Estimate(accuracy=value)


def halves(by_time: Sequence[VoteTally], largest_source_share: float | None) -> VoteHalves:
    """Votes of successive hours or days, oldest first: the older half ends with the one in which it is full."""
    total = sum(one.votes for one in by_time)
    seen = split = 0
    while split < len(by_time) and 2 * seen < total:
        seen += by_time[split].votes
        split += 1
    older, newer = total_votes(by_time[:split]), total_votes(by_time[split:])
    return VoteHalves(older, newer, largest_source_share)


class _Meaning:
    """What a confidence means: by label and twentieth the share that is right, and its variance."""

    def __init__(self, votes: VoteTally) -> None:
        self._votes = votes
        self._voted = _over_labels(votes.voted.values())
        self._right = _over_labels(votes.right.values())

    def of(self, label: str, twentieth: int) -> tuple[float, float]:
        middle = (twentieth + 0.5) / CONFIDENCE_BINS
        overall = (self._right[twentieth] + _OVERALL_WEIGHT * middle) / (
            self._voted[twentieth] + _OVERALL_WEIGHT
        )
        # No more weight than the votes of all labels have themselves.
        weight = min(_LABEL_WEIGHT, self._voted[twentieth] + _OVERALL_WEIGHT)
        voted = _at(self._votes.voted, label, twentieth)
        share = (_at(self._votes.right, label, twentieth) + weight * overall) / (voted + weight)
        return share, share * (1 - share) / (voted + weight + 1)


def _untrusted(votes: VoteHalves) -> str | None:
    fewer = min(votes.older.votes, votes.newer.votes)
    if fewer < LEAST_VOTES:
        return (
            f"Too few votes to try the estimate on: {votes.older.votes} older and {votes.newer.votes} newer ones, "
            f"and it takes {LEAST_VOTES} each."
        )
    share = votes.largest_source_share
    if share is not None and share > MOST_OF_ONE_SOURCE:
        return f"One source gave {share:.0%} of the votes, so they may say more of it than of the answers."
    return None


def _contradiction(votes: VoteHalves) -> str | None:
    expected, variance = _expected(votes.newer.voted, _Meaning(votes.older))
    agreed = right_of(votes.newer) / votes.newer.votes
    if abs(agreed - expected) <= max(TOLERANCE, _Z_99 * math.sqrt(variance)):
        return None
    return (
        f"The newest {votes.newer.votes} votes contradict it: they agree with {agreed:.1%} of the answers, where their "
        f"confidence led to expect {expected:.1%}."
    )


def _beyond(answers: AnswerTally, votes: VoteTally) -> str | None:
    voted = _over_labels(votes.voted.values())
    answered = _over_labels(answers.confidences.values())
    unvoted = sum(count for count, votes_on in zip(answered, voted, strict=True) if not votes_on)
    if not answers.answers:
        return "There are no answers."
    if unvoted <= MOST_UNVOTED * answers.answers:
        return None
    return f"{unvoted / answers.answers:.0%} of the answers have a confidence that nobody voted on."


def _expected(bins: Mapping[str, Counts], meaning: _Meaning) -> tuple[float, float]:
    """The share of right ones among these, and its variance: of the votes learnt from, and of chance among these."""
    total = sum(map(sum, bins.values()))
    mean = variance = 0.0
    for label, counts in bins.items():
        for twentieth, count in enumerate(counts):
            if count:
                share, uncertain = meaning.of(label, twentieth)
                weight = count / total
                mean += weight * share
                variance += weight * weight * uncertain + weight * share * (1 - share) / total
    return mean, variance


def _over_labels(bins: Iterable[Counts]) -> list[int]:
    return [sum(column) for column in zip([0] * CONFIDENCE_BINS, *bins, strict=True)]


def _at(bins: Mapping[str, Counts], label: str, twentieth: int) -> int:
    counts = bins.get(label)
    return counts[twentieth] if counts else 0
