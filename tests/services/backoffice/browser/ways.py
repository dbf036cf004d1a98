"""In which ways a page is met: languages and widths, with and without scripts."""

import pytest

from sentops_backoffice.words import TABLES
from sentops_core.http.i18n import Words
from tests.support.looks import DESKTOP, PHONE

SCREENS = [("en-GB", DESKTOP), ("en-GB", PHONE), ("it-IT", DESKTOP), ("it-IT", PHONE)]
_IDS = ["en-desktop", "en-phone", "it-desktop", "it-phone"]
# For looks: each language at each width.
EVERY = pytest.mark.parametrize(("locale", "viewport"), SCREENS, ids=_IDS)
# For actions: both languages, both widths.
BOTH = pytest.mark.parametrize(
    ("locale", "viewport"), [SCREENS[0], SCREENS[3]], ids=[_IDS[0], _IDS[3]]
)
WITH_AND_WITHOUT = pytest.mark.parametrize("javascript", [True, False], ids=["js", "no-js"])


def words_of(locale: str) -> Words:
    """What the pages say to a browser of this locale."""
    return Words(locale.partition("-")[0], TABLES)
