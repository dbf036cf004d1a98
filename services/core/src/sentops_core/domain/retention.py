"""How long predictions are kept, when the operator and an admin both have a say."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True)
class Retention:
    """`chosen` on the page Settings, `limit` in the environment of the housekeeping; None: nobody said."""

    chosen: timedelta | None = None
    limit: timedelta | None = None

    @property
    def kept(self) -> timedelta | None:
        """The shorter one: what the operator promised is never kept longer. None: for ever."""
        return min((one for one in (self.chosen, self.limit) if one is not None), default=None)

    def first_kept(self, now: datetime) -> datetime | None:
        """Predictions older than this go: whole months do, so a row can live up to a month longer."""
        return None if self.kept is None else start_of_month(now - self.kept)


def start_of_month(moment: datetime) -> datetime:
    """In UTC, as predictions are stored by month."""
    in_utc = moment.astimezone(UTC)
    return datetime(in_utc.year, in_utc.month, 1, tzinfo=UTC)
