"""When a cron expression names a time, in the time zone of people's clocks."""

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim

from sentops_core.domain.resources import ScheduleTrigger


def times_after(schedule: ScheduleTrigger, moment: datetime) -> Iterator[datetime]:
    """In UTC, later than the moment.

    As Debian's cron has it: a time that the clocks skip in spring comes right after the gap, one that they show twice
    in autumn comes once; what comes each hour follows true hours.
    """
    for time in CronSim(schedule.cron, moment.astimezone(ZoneInfo(schedule.time_zone))):
        found = time.astimezone(UTC)
        # Begun in an hour that the clocks show twice, it also names what was due in the first of the two.
        if found > moment:
            yield found


def last_time(schedule: ScheduleTrigger, *, after: datetime, until: datetime) -> datetime | None:
    """The last time named in (after, until]."""
    found = None
    for time in times_after(schedule, after):
        if time > until:
            break
        found = time
    return found
