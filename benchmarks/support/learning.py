"""What the two trainings of bench-train have in common: their task, the clock, and the curve they answer with."""

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.support.amazon import LABELS, Rows
from sentops_trainer.evaluation import macro_f1

Logits = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Task:
    """One training; `epochs` None: as many as who trains does by default."""

    base: str
    seed: int
    max_length: int
    epochs: int | None
    train: Rows
    test: Rows

    @classmethod
    def read(cls, path: Path) -> "Task":
        return cls(**json.loads(path.read_bytes()))

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))


def _now() -> tuple[float, float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, time.perf_counter()


@dataclass
class Clock:
    """CPU-seconds of this process and seconds since the start, without those spent `aside`."""

    _paused: tuple[float, float] = (0.0, 0.0)
    _start: tuple[float, float] = field(default_factory=_now)

    def read(self) -> dict[str, float]:
        cpu, wall = (
            now - start - aside
            for now, start, aside in zip(_now(), self._start, self._paused, strict=True)
        )
        return {"cpu_seconds": round(cpu, 2), "seconds": round(wall, 2)}

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What is done within is the benchmark's own."""
        before = _now()
        yield
        cpu, wall = (
            spent + now - then
            for spent, now, then in zip(self._paused, _now(), before, strict=True)
        )
        self._paused = (cpu, wall)


@dataclass
class Course:
    """The scores on the test rows as a training goes on, each with what had been spent by then."""

    task: Task
    clock: Clock = field(default_factory=Clock)
    curve: list[dict[str, float]] = field(default_factory=list)

    def measure(self, epoch: float, logits_of: Callable[[list[str]], Logits]) -> None:
        spent = self.clock.read()
        with self.clock.aside():
            score = self._macro_f1(logits_of([text for text, _ in self.task.test]))
        self.curve.append({"epoch": round(epoch, 2), **spent, "macro_f1": score})

    def deliver(self, logits_of: Callable[[list[str]], Logits], **more: Any) -> None:
        """Score what came of it, and print all as JSON."""
        spent = self.clock.read()
        answer = {
            **spent,
            "macro_f1": self._macro_f1(logits_of([text for text, _ in self.task.test])),
            "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            "curve": self.curve,
            **more,
        }
        sys.stdout.write(json.dumps(answer) + "\n")

    def _macro_f1(self, logits: Logits) -> float:
        labels = np.array([LABELS.index(label) for _, label in self.task.test])
        predicted = logits.argmax(axis=1).astype(np.int64)
        return round(macro_f1(labels, predicted, len(LABELS)), 4)


@contextmanager
def chatter_to_stderr() -> Iterator[None]:
    """Trainer prints its losses."""
    kept = sys.stdout
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = kept
