"""The first password of the back office is told once, whatever happened to the start that made the account."""

import pytest

from sentops_cli.database import awaits_first_admin
from sentops_core.store.pool import Pool, transaction
from sentops_core.store.tokens import Role
from sentops_core.store.users import Users

pytestmark = pytest.mark.pg


async def test_the_first_password_is_told_until_somebody_has_chosen_an_own_one(
    database_url: str, pool: Pool
) -> None:
    assert await awaits_first_admin(database_url)
    async with transaction(pool) as connection:
        await Users(connection).create("admin", "hash", Role.ADMIN)
    # A start that was interrupted here has made the account and told nobody.
    assert await awaits_first_admin(database_url)
    async with transaction(pool) as connection:
        await Users(connection).set_password("admin", "another hash")
    assert not await awaits_first_admin(database_url)


async def test_accounts_of_others_mean_that_there_will_be_no_first_one(
    database_url: str, pool: Pool
) -> None:
    async with transaction(pool) as connection:
        await Users(connection).create("ada", "hash", Role.VIEWER)
    assert not await awaits_first_admin(database_url)
