"""Numbers and moments as people of a language write them."""

from datetime import UTC, date, datetime, timedelta

from babel import Locale
from babel.dates import format_date, format_datetime, format_timedelta
from babel.numbers import format_decimal, parse_pattern

UNKNOWN = "–"  # nobody knows: never 0
_TOGETHER = "\N{NO-BREAK SPACE}"

# Read once: a page writes hundreds of numbers, and given as texts Babel reads pattern and locale anew for each.
_WHOLE = parse_pattern("#,##0")
_ONE_DECIMAL = parse_pattern("0.0")
_METRIC = parse_pattern("0.000")
_ROUND = parse_pattern("0")
_ROUGH = parse_pattern("@##")


class Formats:
    """For one language; every method shows None as unknown."""

    def __init__(self, language: str) -> None:
        self._locale = Locale.parse(language)

    def whole(self, value: float | None) -> str:
        return UNKNOWN if value is None else format_decimal(value, _WHOLE, locale=self._locale)

    def up_to(self, value: int, most: int) -> str:
        """A count that ended there: 1,000+."""
        return self.whole(value) + ("+" if value >= most else "")

    def decimal(self, value: float | None) -> str:
        """A metric, with three decimals."""
        return UNKNOWN if value is None else format_decimal(value, _METRIC, locale=self._locale)

    def rough(self, value: float | None) -> str:
        """With three significant digits: 118, 0.006."""
        return UNKNOWN if value is None else format_decimal(value, _ROUGH, locale=self._locale)

    def language(self, code: str | None) -> str:
        """What people call the language of a text."""
        return UNKNOWN if code is None else str(self._locale.languages.get(code, code))

    def percent(self, share: float | None) -> str:
        """A share between 0 and 1, with one decimal."""
        if share is None:
            return UNKNOWN
        return format_decimal(share * 100, _ONE_DECIMAL, locale=self._locale) + f"{_TOGETHER}%"

    def share(self, share: float | None) -> str:
        """A round share between 0 and 1, without decimals."""
        if share is None:
            return UNKNOWN
        return format_decimal(share * 100, _ROUND, locale=self._locale) + f"{_TOGETHER}%"

    def moment(self, value: datetime | None) -> str:
        if value is None:
            return UNKNOWN
        at = value.astimezone(UTC)
        return format_datetime(at, "d MMM y, HH:mm", locale=self._locale) + f"{_TOGETHER}UTC"

    def day(self, value: date) -> str:
        return format_date(value, "d MMM", locale=self._locale)

    def long_day(self, value: date | None) -> str:
        return UNKNOWN if value is None else format_date(value, "d MMMM y", locale=self._locale)

    def ago(self, value: datetime | None, *, now: datetime) -> str:
        if value is None:
            return UNKNOWN
        return format_timedelta(value - now, add_direction=True, locale=self._locale)

    def duration(self, value: timedelta | float | None) -> str:
        """A length of time, or seconds."""
        if value is None:
            return UNKNOWN
        length = value if isinstance(value, timedelta) else timedelta(seconds=value)
        return format_timedelta(length, threshold=1.5, locale=self._locale)
