"""What was answered and said in each window, per version and language."""

from collections.abc import Mapping
from dataclasses import dataclass

from sentops_core.domain.tallies import AnswerTally, VoteTally, total_answers, total_votes


@dataclass(frozen=True)
class WindowTally:
    """One version over one window; by language, 'unknown' where none was recognised. It answered at least once."""

    model_version: str
    window: str
    answers: Mapping[str, AnswerTally]
    votes: Mapping[str, VoteTally]

    @property
    def all_answers(self) -> AnswerTally:
        return total_answers(self.answers.values())

    @property
    def all_votes(self) -> VoteTally:
        return total_votes(self.votes.values())

    @property
    def languages(self) -> dict[str, int]:
        """Answers by language."""
        return {language: tally.answers for language, tally in self.answers.items()}
