"""On an engine: yesterday's backup brings an empty server back, and in the end nothing is left."""

import pytest

from tests.compose.platform import FIRST, Platform
from tests.compose.project import Project
from tests.support.eventually import eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

TABLES = (
    "predictions",
    "feedback",
    "dataset_versions",
    "model_versions",
    "training_jobs",
    "audit_log",
    "users",
)


def counts(project: Project) -> dict[str, int]:
    return {table: int(project.sql(f"SELECT count(*) FROM {table}")[0][0]) for table in TABLES}


# Where no Grafana can be had, a database like its own stands for its state.
_SAVE = """
import os, sqlite3
with sqlite3.connect("/grafana/grafana.db") as database:
    database.execute("CREATE TABLE dashboard (title TEXT)")
    database.execute("INSERT INTO dashboard VALUES ('a dashboard of ours')")
os.chown("/grafana/grafana.db", 472, 0)
"""
_LOAD = """
import sqlite3
print(sqlite3.connect("/grafana/grafana.db").execute("SELECT title FROM dashboard").fetchone()[0])
"""


def in_grafanas_folder(project: Project, code: str) -> str:
    return project.compose(
        "run", "--rm", "-T", "--no-deps", "--entrypoint", "python", "restore", "-c", code
    )


async def test_a_backup_brings_an_emptied_server_back(live: Platform) -> None:
    project = live.project
    answer = await live.ask("lovely product")
    wrong = next(label for label in answer["scores"] if label != answer["label"])
    asked = {"prediction_id": answer["prediction_id"], "feedback": wrong}
    assert (await live.edge.post("/api/feedback", json=asked)).is_success
    identity = answer["prediction_id"].split("-")[0]

    def written() -> bool:
        rows = project.sql(f"SELECT count(*) FROM feedback WHERE prediction_id = '{identity}'")
        return rows == [["1"]]

    await eventually(written, within=30, every=0.5)
    before = counts(project)
    if not project.has_grafana:
        in_grafanas_folder(project, _SAVE)
    assert "Backup" in project.compose("run", "--rm", "-T", "backup")
    assert "whole" in project.compose("run", "--rm", "-T", "backup", "backups", "/backups")

    project.remove()
    assert project.leftovers() == {"containers": [], "networks": [], "volumes": []}
    project.up("--wait", "postgres")
    said = project.compose(
        "run", "--rm", "-T", "restore", "restore", "/backups", "latest", "--replace"
    )
    assert "Restored" in said
    if not project.has_grafana:
        assert in_grafanas_folder(project, _LOAD).strip() == "a dashboard of ours"
    project.up("--wait")

    fresh = project.trusting_the_edge()
    async with type(live.edge)(
        base_url=project.edge, verify=fresh, trust_env=False, timeout=40
    ) as edge:
        again = Platform(project, edge, live.inside)
        await again.served_by(FIRST)
        found = await edge.get(f"/api/predictions/{answer['prediction_id']}")
        assert found.is_success, found.text
        assert found.json()["label"] == answer["label"]
    after = counts(project)
    assert {table: after[table] >= before[table] for table in TABLES} == dict.fromkeys(TABLES, True)


def test_taking_everything_down_leaves_nothing(project: Project) -> None:
    project.remove()
    assert project.leftovers() == {"containers": [], "networks": [], "volumes": []}
