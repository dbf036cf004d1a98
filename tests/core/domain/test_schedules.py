"""Times of a cron expression, in a zone whose clocks are set twice a year."""

from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pytest
from pydantic import ValidationError

from sentops_core.domain.resources import ScheduleTrigger
from sentops_core.domain.schedules import last_time, times_after


def rome(cron: str) -> ScheduleTrigger:
    return ScheduleTrigger(cron=cron, time_zone="Europe/Rome")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# In 2026 the clocks of Rome go from 2:00 to 3:00 on 29 March (1:00 UTC), and from 3:00 to 2:00 on 25 October (1:00 UTC).
@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("0 3 * * *", "2026-03-28T00:00", ["28 02:00", "29 01:00", "30 01:00"]),
        ("30 2 * * *", "2026-03-28T00:00", ["28 01:30", "29 01:00", "30 00:30"]),
        ("30 2 * * *", "2026-10-24T00:00", ["24 00:30", "25 00:30", "26 01:30"]),
        ("30 2 * * *", "2026-10-25T00:30", ["26 01:30", "27 01:30", "28 01:30"]),
        ("30 2 * * *", "2026-10-25T01:15", ["26 01:30", "27 01:30", "28 01:30"]),
        ("0 * * * *", "2026-10-24T23:00", ["25 00:00", "25 01:00", "25 02:00"]),
        ("*/30 * * * *", "2026-03-29T00:20", ["29 00:30", "29 01:00", "29 01:30"]),
        ("0 3 * * SUN", "2026-10-24T00:00", ["25 02:00", "01 02:00", "08 02:00"]),
    ],
)
def test_a_schedule_follows_the_clocks_on_the_wall(
    cron: str, after: str, expected: list[str]
) -> None:
    found = islice(times_after(rome(cron), at(after)), 3)
    assert [f"{time:%d %H:%M}" for time in found] == expected


def test_a_time_that_the_clocks_show_twice_is_due_once() -> None:
    daily = rome("30 2 * * *")
    first = last_time(daily, after=at("2026-10-24T12:00"), until=at("2026-10-25T00:40"))
    assert first == at("2026-10-25T00:30")
    assert last_time(daily, after=first, until=at("2026-10-25T12:00")) is None


def test_a_time_that_the_clocks_skip_is_due_once_right_after() -> None:
    daily = rome("30 2 * * *")
    assert last_time(daily, after=at("2026-03-28T12:00"), until=at("2026-03-29T00:59")) is None
    found = last_time(daily, after=at("2026-03-28T12:00"), until=at("2026-03-29T12:00"))
    assert found == at("2026-03-29T01:00")
    assert last_time(daily, after=found, until=at("2026-03-29T23:00")) is None


def test_of_several_times_that_were_missed_the_last_one_counts() -> None:
    hourly = ScheduleTrigger(cron="15 * * * *")
    assert last_time(hourly, after=at("2026-05-01T00:00"), until=at("2026-05-01T05:20")) == at("2026-05-01T05:15")  # fmt: skip


def test_neither_the_moment_itself_nor_one_between_the_minutes_comes_again() -> None:
    hourly = ScheduleTrigger(cron="15 * * * *")
    due = at("2026-05-01T05:15")
    assert last_time(hourly, after=due, until=at("2026-05-01T05:59")) is None
    assert last_time(hourly, after=at("2026-05-01T05:14:59.5"), until=due) == due


@pytest.mark.parametrize(
    "fields",
    [
        {"cron": "0 3 * *"},
        {"cron": "0 0 3 * * *"},
        {"cron": "@daily"},
        {"cron": "61 * * * *"},
        {"cron": "0 0 30 2 *"},
        {"cron": "0 3 * * *", "time_zone": "Europe"},
        {"cron": "0 3 * * *", "time_zone": "../../etc/passwd"},
        {"cron": "0 3 * * *", "time_zone": ""},
    ],
)
def test_what_names_no_time_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ScheduleTrigger(**fields)
