"""Labelled texts that are far from each other, as many as a test wants."""

from sentops_core.datasets.draft import Candidate
from sentops_core.domain.resources import DEFAULT_LABELS

NOUNS = [
    "zaino",
    "telefono",
    "libro",
    "cuffie",
    "lampada",
    "sedia",
    "orologio",
    "tastiera",
    "pentola",
    "giacca",
]
WORDS = [
    "rosso",
    "comodo",
    "veloce",
    "strano",
    "piccolo",
    "robusto",
    "leggero",
    "elegante",
    "rumoroso",
    "fragile",
]


def some_candidates(
    count: int = 100, start: int = 0, source: str = "upload:test"
) -> list[Candidate]:
    """Texts that are far from each other, with the three labels in turn."""
    return [
        Candidate(
            text=f"{NOUNS[n % 10]} {WORDS[n // 10 % 10]} numero {n}",
            label=DEFAULT_LABELS[n % 3],
            source=source,
            row=n + 2,
        )
        for n in range(start, start + count)
    ]
