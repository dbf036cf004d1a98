"""Numbers and moments as people of a language write them."""

from datetime import UTC, date, datetime, timedelta

from babel.dates import format_date, format_datetime, format_timedelta
from babel.numbers import format_decimal

UNKNOWN = "–"  # nobody knows: never 0


class Formats:
    """For one language; every method shows None as unknown."""

    def __init__(self, language: str) -> None:
        self._language = language

    def whole(self, value: float | None) -> str:
        return UNKNOWN if value is None else format_decimal(value, "#,##0", locale=self._language)

    def decimal(self, value: float | None) -> str:
        """A metric, with three decimals."""
        return UNKNOWN if value is None else format_decimal(value, "0.000", locale=self._language)

    def percent(self, share: float | None) -> str:
        """A share between 0 and 1, with one decimal."""
        if share is None:
            return UNKNOWN
        return format_decimal(share * 100, "0.0", locale=self._language) + " %"

    def share(self, share: float | None) -> str:
        """A round share between 0 and 1, without decimals."""
        if share is None:
            return UNKNOWN
        return format_decimal(share * 100, "0", locale=self._language) + " %"

    def moment(self, value: datetime | None) -> str:
        if value is None:
            return UNKNOWN
        at = value.astimezone(UTC)
        return format_datetime(at, "d MMM y, HH:mm", locale=self._language) + " UTC"

    def day(self, value: date) -> str:
        return format_date(value, "d MMM", locale=self._language)

    def long_day(self, value: date | None) -> str:
        return UNKNOWN if value is None else format_date(value, "d MMMM y", locale=self._language)

    def ago(self, value: datetime | None, *, now: datetime) -> str:
        if value is None:
            return UNKNOWN
        return format_timedelta(value - now, add_direction=True, locale=self._language)

    def duration(self, value: timedelta | float | None) -> str:
        """A length of time, or seconds."""
        if value is None:
            return UNKNOWN
        length = value if isinstance(value, timedelta) else timedelta(seconds=value)
        return format_timedelta(length, threshold=1.5, locale=self._language)
