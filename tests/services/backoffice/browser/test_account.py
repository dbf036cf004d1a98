"""The way in and one's own account, as a browser meets them."""

import pytest

from tests.support.looks import PHONE

pytestmark = [pytest.mark.browser, pytest.mark.pg]


@pytest.mark.parametrize("locale", ["en-GB", "it-IT"])
@pytest.mark.parametrize("viewport", [None, PHONE])
async def test_the_overview_can_be_looked_at(staff, look_at, locale, viewport) -> None:
    async with staff("admin", locale=locale, viewport=viewport) as visit:
        await look_at(visit, "overview")
