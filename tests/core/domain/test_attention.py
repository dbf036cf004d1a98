"""What needs a person: the rules, one by one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sentops_core.domain.attention import Kind, Mention, Need, Seen, fell, needs
from sentops_core.domain.quality import accuracy_of

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
WELL = Seen(
    champion="sentiment-v2",
    answers=1000,
    recent=accuracy_of(80, 100),
    before=accuracy_of(330, 400),
    tidied_at=NOW - timedelta(minutes=30),
    figures_at=NOW - timedelta(seconds=30),
    figures_fresh=True,
)


def kinds(seen: Seen) -> list[Kind]:
    return [need.kind for need in needs(seen, now=NOW)]


def test_a_platform_that_does_well_needs_nobody() -> None:
    assert needs(WELL, now=NOW) == ()


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"champion": None}, Kind.NOTHING_SERVES),
        ({"recent": accuracy_of(60, 100)}, Kind.QUALITY_FELL),
        ({"recent": None}, Kind.NO_VOTES),
        ({"contested_texts": 2}, Kind.CONTESTED_TEXTS),
        ({"tidied_at": NOW - timedelta(days=2)}, Kind.NOT_TIDIED),
        ({"tidying_postponed": True}, Kind.TIDYING_POSTPONED),
        ({"versions": [Mention("v", "RolledBack", "", NOW)]}, Kind.ROLLED_BACK),
        ({"versions": [Mention("v", "Quarantined", "", NOW)]}, Kind.QUARANTINED),
        ({"versions": [Mention("v", "Pending", "", NOW)]}, Kind.AWAITS_APPROVAL),
        ({"versions": [Mention("v", "Paused", "", NOW)]}, Kind.ROLL_OUT_HELD),
        ({"jobs": [Mention("j", "Failed", "", NOW)]}, Kind.TRAINING_FAILED),
        ({"jobs": [Mention("j", "Rejected", "", NOW)]}, Kind.TRAINING_REJECTED),
    ],
)
def test_each_thing_that_needs_a_person_is_told(change: dict[str, object], kind: Kind) -> None:
    assert kinds(replace(WELL, **change)) == [kind]  # type: ignore[arg-type]


def test_few_votes_are_no_fall() -> None:
    assert not fell(accuracy_of(3, 6), accuracy_of(330, 400))
    assert not fell(None, accuracy_of(330, 400))
    assert not fell(accuracy_of(3, 6), None)


def test_silence_on_a_quiet_site_means_nothing() -> None:
    assert kinds(replace(WELL, recent=None, answers=20)) == []


def test_what_was_never_tidied_is_not_late() -> None:
    """A platform without a monitor yet, or one that was started a minute ago."""
    assert kinds(replace(WELL, tidied_at=None)) == []


def test_the_most_pressing_comes_first_with_what_it_says() -> None:
    job = Mention("job-1", "Failed", "Out of memory.", NOW)
    seen = replace(WELL, champion=None, jobs=[job], contested_texts=3)
    assert needs(seen, now=NOW) == (
        Need(Kind.NOTHING_SERVES),
        Need(Kind.TRAINING_FAILED, "job-1", "Out of memory.", at=NOW),
        Need(Kind.CONTESTED_TEXTS, count=3),
    )
