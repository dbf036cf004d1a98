"""The windows that quality and drift are looked at in."""

from datetime import timedelta

WINDOWS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "28d": timedelta(days=28),
}
EVERY_LANGUAGE = "all"
UNKNOWN_LANGUAGE = "unknown"
