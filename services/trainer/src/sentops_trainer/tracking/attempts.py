"""A job's attempts as its events tell them: when each began, how far it said it was, when and why it ended."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import TrainingJob
from sentops_core.store.training_jobs import TrainingEvent

# What domain/plan.py writes; a number is all that tells a second attempt from a first one that is seen again.
_STARTED = re.compile(r"Attempt ([0-9]+) is running\.")
_PROGRESS = "Progress"


@dataclass
class Attempt:
    """`reason` says why it ended, empty while it goes on."""

    number: int
    started_at: datetime
    ended_at: datetime | None = None
    reason: str = ""
    message: str = ""
    progress: list[TrainingEvent] = field(default_factory=list)


def attempts(job: TrainingJob, events: Sequence[TrainingEvent]) -> list[Attempt]:
    """Oldest first; one that never ran is there once the job has gone past it."""
    found: dict[int, Attempt] = {}
    running: Attempt | None = None
    early: list[TrainingEvent] = []  # a run may post before anybody wrote down that it runs
    for event in events:
        if event.reason == _PROGRESS:
            (early if running is None else running.progress).append(event)
        elif started := _STARTED.fullmatch(event.message):
            number = int(started[1])
            running = found.setdefault(number, Attempt(number, event.at))
            running.progress += early
            early = []
        elif running is not None:
            running.ended_at, running.reason, running.message = (
                event.at,
                event.reason,
                event.message,
            )
            running = None
    if found:
        found[max(found)].progress += early
    return _with_those_unseen(job, found)


def _with_those_unseen(job: TrainingJob, found: dict[int, Attempt]) -> list[Attempt]:
    status = job.status
    past = range(1, status.attempt + (1 if status.phase.final else 0))
    began = status.start_time or status.completion_time or job.metadata.creation_timestamp
    for number in past:
        if number not in found and began is not None:
            found[number] = Attempt(number, began)
    for number in sorted(found):
        if found[number].ended_at is None and number < status.attempt:
            later = [found[other].started_at for other in sorted(found) if other > number]
            found[number].ended_at = later[0] if later else found[number].started_at
            found[number].reason = Reason.RUN_LOST.value
    return [found[number] for number in sorted(found)]
