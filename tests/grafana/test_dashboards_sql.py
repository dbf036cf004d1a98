"""Every SQL of the dashboards, as Grafana sends it, on a real PostgreSQL, as the role that only reads."""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from sentops_core.store.pool import Connection, open_connection
from tests.support.demo_models import MODEL
from tests.support.demo_platform import DemoPlatform
from tests.support.grafana_data import Prepared, fill, prepared_server
from tests.support.grafana_files import NAMES, dashboard
from tests.support.grafana_models import (
    Bars,
    Dashboard,
    DataPanel,
    Figure,
    Lines,
    QueryVariable,
    SqlTarget,
)
from tests.support.grafana_sql import Asked, UnknownMacro, Value

pytestmark = [pytest.mark.pg, pytest.mark.timeout(400)]

Row = Mapping[str, Any]
_NUMBERS = (int, float, Decimal)


@dataclass(frozen=True)
class Full:
    server: Prepared
    demo: DemoPlatform


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Full]:
    with prepared_server(tmp_path_factory.mktemp("full")) as server:
        yield Full(server, fill(server, tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    with prepared_server(tmp_path_factory.mktemp("empty")) as server:
        yield server


@pytest.fixture
async def reader(full: Full) -> AsyncIterator[Connection]:
    connection = await open_connection(full.server.reader_url)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def nothing(empty: Prepared) -> AsyncIterator[Connection]:
    connection = await open_connection(empty.reader_url)
    try:
        yield connection
    finally:
        await connection.close()


def statements(found: Dashboard) -> Iterator[tuple[DataPanel, SqlTarget]]:
    for panel in found.data_panels:
        for target in panel.targets:
            if isinstance(target, SqlTarget):
                yield panel, target


SQL = [
    pytest.param(name, panel, target, id=f"{name}: {panel.title}")
    for name in NAMES
    for panel, target in statements(dashboard(name))
]


async def asked_by(connection: Connection, found: Dashboard, **chosen: Value) -> Asked:
    """What somebody looks with who leaves everything as it opens, but for what is said; 28 days of it."""
    end = datetime.now(UTC)
    asked = Asked(end - timedelta(days=28), end, {}, timedelta(hours=1))
    variables: dict[str, Value] = {}
    for one in found.templating.list:
        if one.name in chosen:
            variables[one.name] = chosen[one.name]
        elif isinstance(one, QueryVariable):
            statement = Asked(asked.start, asked.end, variables).sql(one.query)
            values = [row[0] for row in await connection.fetch(statement)]
            variables[one.name] = values if one.multi else values[0] if values else ""
        else:
            assert isinstance(one.current.value, str)
            variables[one.name] = one.current.value
    return Asked(asked.start, asked.end, variables, asked.interval)


async def rows_of(connection: Connection, asked: Asked, target: SqlTarget) -> list[Row]:
    return [dict(row) for row in await connection.fetch(asked.sql(target.raw_sql))]


def check_series(rows: list[Row]) -> None:
    """As Grafana makes time series of rows: a time, a name and a number, in the order of time, none twice."""
    for row in rows:
        assert list(row) == ["time", "metric", "value"]
        assert isinstance(row["time"], datetime | int | float | Decimal)
        assert isinstance(row["metric"], str)
        assert row["metric"]
        assert isinstance(row["value"], _NUMBERS)
    times = [row["time"] for row in rows]
    assert times == sorted(times)
    assert len({(row["time"], row["metric"]) for row in rows}) == len(rows)


# ---- with data


@pytest.mark.parametrize(("name", "panel", "target"), SQL)
async def test_it_gives_what_its_panel_shows(
    reader: Connection, name: str, panel: DataPanel, target: SqlTarget
) -> None:
    asked = await asked_by(reader, dashboard(name), window="28d")
    rows = await rows_of(reader, asked, target)
    assert rows, "nothing to see"
    if isinstance(panel, Lines):
        check_series(rows)
        return
    columns = list(rows[0])
    shown = [value for row in rows for value in row.values() if value is not None]
    assert shown
    for value in shown:
        assert isinstance(value, (str, bool, datetime, *_NUMBERS))
    named = [
        one.matcher.options for one in panel.field_config.overrides if one.matcher.id == "byName"
    ]
    assert set(named) <= set(columns)
    if isinstance(panel, Bars):
        assert columns[0] == panel.options.x_field
        assert all(isinstance(row[columns[0]], str) for row in rows)
        assert len({row[columns[0]] for row in rows}) == len(rows)
        assert all(isinstance(row[one], _NUMBERS) for row in rows for one in columns[1:])
    if isinstance(panel, Figure):
        assert len(rows) == 1
        words = panel.options.reduce_options.fields != ""
        assert all(isinstance(value, str) == words for value in rows[0].values())


@pytest.mark.parametrize("name", NAMES)
async def test_variables_offer_what_there_is(reader: Connection, full: Full, name: str) -> None:
    asked = await asked_by(reader, dashboard(name))
    found = asked.variables
    if "model" in found:
        assert found["model"] == MODEL
    if "version" in found:
        assert full.demo.champion in found["version"]
        assert found["version"][0] == full.demo.waiting
    if "language" in found:
        assert found["language"] == "all"


@pytest.mark.parametrize("name", NAMES)
async def test_marks_are_moments_with_a_text_and_tags(
    reader: Connection, full: Full, name: str
) -> None:
    asked = await asked_by(reader, dashboard(name))
    for mark, subject in zip(
        dashboard(name).marks, (full.demo.champion, full.demo.candidate), strict=True
    ):
        rows = await rows_of(reader, asked, mark.target)
        assert [list(row) for row in rows] == [["time", "text", "tags"]] * len(rows)
        assert any(row["text"].startswith(f"{subject} ") for row in rows)
        assert all(isinstance(row["time"], datetime) for row in rows)


@pytest.mark.parametrize("window", ["1h", "24h", "7d", "28d"])
async def test_every_window_can_be_looked_at(reader: Connection, window: str) -> None:
    for name in NAMES:
        found = dashboard(name)
        if "window" in found.variables():
            asked = await asked_by(reader, found, window=window)
            for _, target in statements(found):
                await rows_of(reader, asked, target)


async def test_one_version_shows_that_version_alone(reader: Connection, full: Full) -> None:
    found = dashboard("model-quality")
    asked = await asked_by(reader, found, version=[full.demo.champion], window="28d")
    for panel, target in statements(found):
        for row in await rows_of(reader, asked, target):
            if "Version" in row:
                assert row["Version"] == full.demo.champion, panel.title


async def test_names_with_quotes_are_only_names(reader: Connection) -> None:
    found = dashboard("model-quality")
    hostile = "x'); DROP TABLE feedback; --"
    asked = await asked_by(
        reader, found, model=hostile, version=[hostile, "y'"], language=hostile, window="7d"
    )
    for _, target in statements(found):
        assert await rows_of(reader, asked, target) == []


async def test_accuracy_is_the_monitors_own(reader: Connection, full: Full) -> None:
    """The figures on the page against the votes that were counted."""
    found = dashboard("model-quality")
    asked = await asked_by(reader, found, version=[full.demo.champion], window="28d")
    by_title = {panel.title: target for panel, target in statements(found)}
    (newest,) = await rows_of(reader, asked, by_title["Newest figures of each version"])
    said = await rows_of(reader, asked, by_title["What people meant, what was answered"])
    votes = sum(row["Votes"] for row in said)
    right = sum(row["Votes"] for row in said if row["People meant"] == row["The version answered"])
    assert newest["Votes"] == votes > 0
    assert newest["Accuracy"] == pytest.approx(float(right / votes))
    assert newest["Accuracy, low"] < newest["Accuracy"] < newest["Accuracy, high"]


# ---- without data


@pytest.mark.parametrize(("name", "panel", "target"), SQL)
async def test_a_new_platform_shows_no_data_and_no_zeros(
    nothing: Connection, name: str, panel: DataPanel, target: SqlTarget
) -> None:
    asked = await asked_by(nothing, dashboard(name))
    for row in await rows_of(nothing, asked, target):
        for column, value in row.items():
            assert isinstance(value, bool) or value != 0, f"{panel.title}: {column}"


# ---- what a reader may not


async def test_the_reader_is_the_one_that_grafana_has(reader: Connection) -> None:
    assert await reader.fetchval("SELECT current_user") == "grafana"
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await reader.execute("DELETE FROM feedback")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reader.fetch("SELECT text FROM predictions")


def test_an_unknown_macro_is_an_error() -> None:
    moment = datetime(2026, 11, 22, tzinfo=UTC)
    asked = Asked(moment, moment, {})
    assert asked.sql("SELECT 1 WHERE $__timeFilter(at)").startswith("SELECT 1 WHERE at BETWEEN '")
    for wrong in ("$__timeFiltr(at)", "$version", "$sum(x)"):
        with pytest.raises(UnknownMacro):
            asked.sql(f"SELECT {wrong}")
