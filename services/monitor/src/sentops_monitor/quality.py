"""The figures of quality of every version, window and language, from the counts in memory."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from sentops_core.domain.estimation import VoteHalves, halves
from sentops_core.domain.quality_figures import EVERY_LANGUAGE, QualityFigures, figures_of
from sentops_core.domain.tallies import VoteTally, total_votes
from sentops_monitor.history import History
from sentops_monitor.windows import WindowTally

LONGEST = "28d"
MOST_LANGUAGES = 10  # that have figures of their own; a label of a metric must not grow without end

Shares = Mapping[tuple[str, str], float]  # by version and window


def quality_of(
    history: History, windows: Sequence[WindowTally], shares: Shares, now: datetime
) -> tuple[QualityFigures, ...]:
    """Every window that a version answered in, for all languages together and for the commonest ones."""
    languages = commonest_languages(windows)
    evidence = {
        version: _evidence(history, version, shares, now)
        for version in sorted({one.model_version for one in windows})
    }
    return tuple(
        figures
        for window in windows
        for figures in _of_window(window, languages, evidence[window.model_version], shares)
    )


def commonest_languages(windows: Sequence[WindowTally]) -> frozenset[str]:
    answers: defaultdict[str, int] = defaultdict(int)
    for window in windows:
        if window.window == LONGEST:
            for language, tally in window.answers.items():
                answers[language] += tally.answers
    commonest = sorted(answers, key=lambda language: (-answers[language], language))
    return frozenset(commonest[:MOST_LANGUAGES])


def _of_window(
    window: WindowTally,
    languages: frozenset[str],
    evidence: Mapping[str, VoteHalves],
    shares: Shares,
) -> list[QualityFigures]:
    share = shares.get((window.model_version, window.window))
    whole = figures_of(
        window.model_version,
        window.window,
        EVERY_LANGUAGE,
        window.all_answers,
        window.all_votes,
        evidence=evidence[EVERY_LANGUAGE],
        largest_source_share=share,
    )
    nothing = VoteHalves(VoteTally(), VoteTally())
    apart = [
        figures_of(
            window.model_version,
            window.window,
            language,
            window.answers[language],
            window.votes.get(language, VoteTally()),
            evidence=evidence.get(language, nothing),
        )
        for language in sorted(window.answers.keys() & languages)
    ]
    return [whole, *apart]


def _evidence(
    history: History, version: str, shares: Shares, now: datetime
) -> dict[str, VoteHalves]:
    """By language; 'all' is always there."""
    share = shares.get((version, LONGEST))
    votes = history.votes_in_order(version, now)
    found = {EVERY_LANGUAGE: halves([total_votes(one.values()) for one in votes], share)}
    for language in sorted({language for one in votes for language in one}):
        found[language] = halves([one[language] for one in votes if language in one], share)
    return found
