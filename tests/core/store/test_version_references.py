"""What versions were trained on, once it is in the database."""

import pytest

from sentops_core.store.dashboard_access import is_readable
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.pool import Connection
from sentops_core.store.version_references import Unread, VersionReferences
from tests.support.builders import a_digest, a_model_version
from tests.support.drift_texts import reference_of, some_texts

pytestmark = pytest.mark.pg

PROFILE = reference_of(some_texts(200, "it", seed=1), some_texts(60, "it", seed=2))


@pytest.fixture
async def versions(connection: Connection) -> list[str]:
    names = []
    for number, letter in ((1, "a"), (2, "b")):
        version = a_model_version(number=number, digest=a_digest(letter))
        await ModelVersions(connection).create(version, created_by="test")
        names.append(version.metadata.name)
    return names


async def test_a_version_is_asked_once_whether_it_has_a_profile_or_none(
    connection: Connection, versions: list[str]
) -> None:
    table = VersionReferences(connection)
    first, second = versions
    unread = await table.unread()
    assert {one.model_version for one in unread} == {first, second}
    assert all(isinstance(one, Unread) and one.storage_uri for one in unread)
    await table.keep(first, a_digest("a"), PROFILE)
    await table.keep(second, a_digest("b"), None)
    assert await table.unread() == []
    assert await table.digests() == {first: a_digest("a"), second: a_digest("b")}
    assert await table.profile(first, a_digest("a")) == PROFILE
    assert await table.profile(second, a_digest("b")) is None


async def test_a_name_that_got_another_artefact_is_asked_again(
    connection: Connection, versions: list[str]
) -> None:
    table = VersionReferences(connection)
    await table.keep(versions[0], a_digest("f"), PROFILE)
    assert versions[0] in {one.model_version for one in await table.unread()}
    assert await table.profile(versions[0], a_digest("a")) is None
    await table.keep(versions[0], a_digest("a"), None)
    assert await table.digests() == {versions[0]: a_digest("a")}


async def test_a_profile_of_a_later_release_is_none_for_this_one(
    connection: Connection, versions: list[str]
) -> None:
    table = VersionReferences(connection)
    await table.keep(versions[0], a_digest("a"), PROFILE)
    await connection.execute(
        "UPDATE version_references SET profile_text = jsonb_set(profile_text, '{format}', '\"sentops-reference/9\"')"
    )
    assert await table.profile(versions[0], a_digest("a")) is None


async def test_dashboards_read_no_column_that_tells_of_words(connection: Connection) -> None:
    found = await connection.fetch(
        "SELECT table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name IN ('version_references', 'answer_tallies')"
    )
    closed = {
        row["column_name"]
        for row in found
        if not is_readable(row["table_name"], row["column_name"], row["data_type"])
    }
    assert closed == {"profile_text", "word_slots"}
