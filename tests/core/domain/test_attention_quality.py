"""When the quality of what serves needs somebody; the numbers are those of the alerts."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from sentops_core.domain.attention import ENOUGH_VOTES, QUALITY_FLOOR, Kind, Seen, needs
from sentops_core.domain.quality import accuracy_of

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
RULES = Path(__file__).parents[3] / "grafana/rules/thresholds.yaml"


def kinds(
    accuracies: dict[str, tuple[int, int]], previous: dict[str, tuple[int, int]] | None = None
) -> list[Kind]:
    """(right, votes) by window."""
    seen = Seen(
        champion="v2",
        answers=10,
        recent=None,
        before=None,
        accuracies={window: accuracy_of(*one) for window, one in accuracies.items()},  # type: ignore[misc]
        previous_accuracies={  # type: ignore[misc]
            window: accuracy_of(*one) for window, one in (previous or {}).items()
        },
        figures_fresh=True,
        figures_at=NOW,
    )
    return [need.kind for need in needs(seen, now=NOW)]


def test_the_numbers_are_those_of_the_alerts() -> None:
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    expressions = {one["record"]: one["expr"] for one in rules}
    assert float(expressions["sentops:quality_floor"][7:-1]) == QUALITY_FLOOR
    assert float(expressions["sentops:quality_votes_minimum"][7:-1]) == ENOUGH_VOTES


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        ({}, []),
        ({"24h": (30, 60)}, [Kind.QUALITY_LOW]),
        ({"24h": (39, 60)}, []),  # its interval reaches over the floor
        ({"24h": (0, 49)}, []),  # too few votes to say so
        ({"24h": (0, 49), "7d": (30, 60)}, [Kind.QUALITY_LOW]),
        ({"24h": (55, 60), "7d": (30, 60)}, []),  # the day counts where it has enough
        ({"28d": (30, 60)}, []),
    ],
)
def test_it_is_low_when_even_the_kindest_reading_is_under_the_floor(
    accuracies: dict[str, tuple[int, int]], expected: list[Kind]
) -> None:
    assert kinds(accuracies) == expected


def test_it_is_worse_than_before_when_the_intervals_lie_apart() -> None:
    assert kinds({"7d": (160, 200)}, {"28d": (950, 1000)}) == [Kind.QUALITY_WORSE]
    assert kinds({"7d": (190, 200)}, {"28d": (950, 1000)}) == []
    assert kinds({"7d": (160, 200)}, {"28d": (48, 49)}) == []
