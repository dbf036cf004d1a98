"""What a scorer answers."""

from dataclasses import dataclass

from sentops_core.domain.fast_path import AnswerPath


@dataclass(frozen=True, slots=True)
class Scored:
    """One answer; `truncated` says that the end of the text was not read, `path` which model gave it."""

    label: str
    score: float
    scores: dict[str, float]
    truncated: bool
    path: AnswerPath = "full"
