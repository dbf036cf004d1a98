"""Which words made the answer: leave each out, ask again, and see how the probability moves."""

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sentops_web.model_client import ModelAnswer

Ask = Callable[[Sequence[str]], Awaitable[Sequence[ModelAnswer]]]

_WORD = re.compile(r"\S+")
_AT_ONCE = 16
_FEW = 40  # words that are asked about one by one, without looking first where it matters
_PARTS = 20


@dataclass(frozen=True)
class Word:
    """`contribution`: how much less likely the label is without it. None: time was up before it."""

    text: str
    start: int
    end: int
    contribution: float | None


@dataclass(frozen=True)
class Explanation:
    answer: ModelAnswer
    words: tuple[Word, ...]
    asked: int

    @property
    def complete(self) -> bool:
        return all(word.contribution is not None for word in self.words)


async def explain(
    text: str,
    ask: Ask,
    *,
    budget_seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> Explanation:
    """Leave-one-word-out within the budget; in a long text the passages that matter most come first."""
    deadline = clock() + budget_seconds
    (answer,) = await ask([text])
    words = [match.span() for match in _WORD.finditer(text)]
    order = list(range(len(words)))
    if len(words) > _FEW:
        order = await _most_telling_first(text, words, answer, ask)
    found: dict[int, float] = {}
    for at in range(0, len(order), _AT_ONCE):
        if clock() >= deadline:
            break
        chunk = order[at : at + _AT_ONCE]
        without = [_without(text, [words[index]]) for index in chunk]
        found.update(zip(chunk, await _drops(without, answer, ask), strict=True))
    return Explanation(
        answer,
        tuple(
            Word(text[start:end], start, end, found.get(index))
            for index, (start, end) in enumerate(words)
        ),
        len(found),
    )


async def _most_telling_first(
    text: str, words: Sequence[tuple[int, int]], answer: ModelAnswer, ask: Ask
) -> list[int]:
    """The words' indices, those in the passages whose absence changes most before the others."""
    size = -(-len(words) // _PARTS)
    parts = [list(range(at, min(at + size, len(words)))) for at in range(0, len(words), size)]
    without = [_without(text, [words[index] for index in part]) for part in parts]
    drops = await _drops(without, answer, ask)
    ranked = sorted(zip(parts, drops, strict=True), key=lambda pair: -abs(pair[1]))
    return [index for part, _ in ranked for index in part]


async def _drops(texts: list[str], answer: ModelAnswer, ask: Ask) -> list[float]:
    """How much the answer's label loses in each text; an empty one is compared with pure chance."""
    asked = [text for text in texts if text]
    answers = iter(await ask(asked) if asked else [])
    chance = 1 / max(len(answer.scores), 1)
    before = answer.scores.get(answer.label, answer.score)
    return [
        before - (next(answers).scores.get(answer.label, 0.0) if text else chance) for text in texts
    ]


def _without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    kept, at = [], 0
    for start, end in spans:
        kept.append(text[at:start])
        at = end
    kept.append(text[at:])
    return " ".join("".join(kept).split())
