"""Users, sessions, tokens and the audit log."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from sentops_core.domain.errors import Conflict, NotFound, Unauthenticated
from sentops_core.store.audit import Audit, AuditFilter
from sentops_core.store.pool import Connection
from sentops_core.store.tokens import ApiTokens, Role
from sentops_core.store.users import Sessions, Users

pytestmark = pytest.mark.pg

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_a_role_covers_itself_and_those_before_it() -> None:
    assert Role.ADMIN.covers(Role.VIEWER)
    assert Role.ANNOTATOR.covers(Role.ANNOTATOR)
    assert not Role.VIEWER.covers(Role.ANNOTATOR)


async def test_a_token_works_until_it_is_revoked(connection: Connection) -> None:
    tokens = ApiTokens(connection)
    made = await tokens.create("ci", Role.ANNOTATOR, created_by="anna")
    assert await tokens.verify(made.secret) == made.token
    revoked = await tokens.revoke(made.token.id)
    assert await tokens.revoke(made.token.id) == revoked
    with pytest.raises(Unauthenticated):
        await tokens.verify(made.secret)
    assert await tokens.newest() == [revoked]


async def test_no_column_holds_a_token_s_secret(connection: Connection) -> None:
    made = await ApiTokens(connection).create("ci", Role.ADMIN, created_by="anna")
    stored = await connection.fetchval("SELECT string_agg(t::text, '') FROM api_tokens t")
    assert made.secret not in stored
    assert made.secret.encode().hex() not in stored


async def test_unknown_tokens_are_refused(connection: Connection) -> None:
    with pytest.raises(Unauthenticated):
        await ApiTokens(connection).verify("nonsense")


async def test_a_session_ends_by_time_logout_password_and_disabling(
    connection: Connection,
) -> None:
    users, sessions = Users(connection), Sessions(connection)
    await users.create("anna", "hash-1", Role.ADMIN)
    with pytest.raises(Conflict, match="anna"):
        await users.create("anna", "hash-2", Role.VIEWER)

    async def a_session() -> str:
        return (await sessions.start("anna", expires_at=NOW + timedelta(hours=1))).secret

    async def works(secret: str, now: datetime = NOW) -> bool:
        return await sessions.find(secret, now=now) is not None

    secret = await a_session()
    found = await sessions.find(secret, now=NOW)
    assert found is not None
    assert (found.user_name, found.role, found.must_change_password) == ("anna", Role.ADMIN, True)
    assert not await works(secret, NOW + timedelta(hours=1))
    assert not await works("nonsense")

    await sessions.end(secret)
    assert not await works(secret)

    secret = await a_session()
    changed = await users.set_password("anna", "hash-3")
    assert (changed.password_hash, changed.must_change_password) == ("hash-3", False)
    assert not await works(secret)

    secret = await a_session()
    await users.set_disabled("anna", disabled=True)
    assert not await works(secret)
    await users.set_disabled("anna", disabled=False)
    assert await works(secret)

    assert await sessions.drop_expired(NOW) == 0
    assert await sessions.drop_expired(NOW + timedelta(hours=1)) == 1


async def test_a_role_is_read_with_each_request(connection: Connection) -> None:
    users, sessions = Users(connection), Sessions(connection)
    await users.create("anna", "hash", Role.VIEWER)
    started = await sessions.start("anna", expires_at=NOW + timedelta(hours=1))
    await users.set_role("anna", Role.ANNOTATOR)
    found = await sessions.find(started.secret, now=NOW)
    assert found is not None
    assert found.role is Role.ANNOTATOR
    assert [user.name for user in await users.by_name()] == ["anna"]
    with pytest.raises(NotFound):
        await users.set_role("bob", Role.VIEWER)
    assert await users.get("bob") is None


async def test_the_audit_log_is_read_in_pages_newest_first(connection: Connection) -> None:
    audit = Audit(connection)
    first = await audit.record("anna", "model_version.promoted", "sentiment-v1", {"p": 0.01})
    second = await audit.record("system", "dataset.created", "v1")
    third = await audit.record("anna", "model_version.archived", "sentiment-v1")
    assert await audit.newest(limit=2) == [third, second]
    assert await audit.newest(before=second.id) == [first]
    assert await audit.newest(subject="sentiment-v1") == [third, first]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_log SET actor = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"],
)
async def test_the_audit_log_cannot_be_rewritten(connection: Connection, statement: str) -> None:
    await Audit(connection).record("anna", "x", "y")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await connection.execute(statement)


async def test_a_token_says_when_it_was_last_used(connection: Connection) -> None:
    tokens = ApiTokens(connection)
    made = await tokens.create("ci", Role.VIEWER, created_by="anna")
    assert made.token.last_used_at is None
    await tokens.verify(made.secret)
    (listed,) = [one for one in await tokens.newest() if one.id == made.token.id]
    assert listed.last_used_at is not None


async def test_sessions_are_listed_and_ended_one_by_one_and_all_but_one(
    connection: Connection,
) -> None:
    await Users(connection).create("zoe", "hash", Role.VIEWER)
    sessions = Sessions(connection)
    later = NOW + timedelta(hours=1)
    first, second, third = [
        await sessions.start("zoe", expires_at=later, user_agent=agent) for agent in "abc"
    ]
    await sessions.start("zoe", expires_at=NOW - timedelta(hours=1))
    listed = await sessions.of_user("zoe", now=NOW)
    assert {one.id for one in listed} == {
        sessions.id_of(one.secret) for one in (first, second, third)
    }
    assert not await sessions.end_one("somebody else", sessions.id_of(first.secret))
    assert await sessions.end_one("zoe", sessions.id_of(first.secret))
    assert not await sessions.end_one("zoe", sessions.id_of(first.secret))
    assert await sessions.end_others("zoe", second.secret) == 2  # the third and the expired one
    assert await sessions.find(second.secret, now=NOW) is not None
    assert await sessions.end_all("zoe") == 1


async def test_the_audit_log_is_filtered_by_who_what_whom_and_when(connection: Connection) -> None:
    audit = Audit(connection)
    before = {row.id for row in await audit.newest(limit=1000)}
    wanted = [
        await audit.record("anna", "user.created", "bruno"),
        await audit.record("bruno", "user.logged_in", "bruno"),
        await audit.record("anna", "retention.changed", "predictions"),
    ]
    now = wanted[0].at
    for condition, expected in (
        (AuditFilter(actor="anna"), [2, 0]),
        (AuditFilter(action="user.logged_in"), [1]),
        (AuditFilter(subject="bruno"), [1, 0]),
        (AuditFilter(actor="anna", subject="predictions"), [2]),
        (AuditFilter(since=now), [2, 1, 0]),
        (AuditFilter(until=now), []),
        (AuditFilter(actor="'; DROP TABLE audit_log; --"), []),
    ):
        found = [row for row in await audit.newest(condition) if row.id not in before]
        assert found == [wanted[at] for at in expected], condition
        streamed = [row async for row in audit.all_lines(condition) if row.id not in before]
        assert streamed == found
    assert {"anna", "bruno"} <= set(await audit.actors())
    assert {"user.created", "retention.changed"} <= set(await audit.actions())
