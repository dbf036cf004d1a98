"""Databases as Grafana meets them: prepared as in production, asked as the role that only reads; one full, one empty."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import SecretStr

from sentops_core.domain.reference import HeldOutAnswer, ReferenceText, profile_of
from sentops_core.domain.resources import RetrainPolicySpec
from sentops_core.store.audit import Audit
from sentops_core.store.embedded import EmbeddedPostgres
from sentops_core.store.model_versions import ModelVersions
from sentops_core.store.pool import Connection, open_connection
from sentops_core.store.prepare import DATABASE, OWNER, READER, Wanted, prepare_server
from sentops_core.store.retrain_policies import RetrainPolicies
from sentops_core.store.version_references import VersionReferences
from sentops_monitor.app import create_monitor
from sentops_monitor.settings import Settings
from tests.support.demo_models import MODEL
from tests.support.demo_platform import DemoPlatform, fill_demo
from tests.support.demo_work import do_staff_work
from tests.support.postgres import UNSAFE_AND_QUICK, a_free_port, run_aside
from tests.support.serving import served

_PATIENCE = 120


@dataclass(frozen=True)
class Prepared:
    """A server after `sentops_core.store.prepare`; URLs of the programs' role and of Grafana's."""

    owner_url: str
    reader_url: str


@contextmanager
def prepared_server(folder: Path) -> Iterator[Prepared]:
    folder.chmod(0o755)  # the server does not run as root
    server = EmbeddedPostgres(
        folder / "postgres",
        port=a_free_port(),
        password="super secret",
        user="postgres",
        database="postgres",
        settings=UNSAFE_AND_QUICK,
    )
    server.start()
    try:
        wanted = Wanted(server.url, "the owner's", "the reader's")
        run_aside(prepare_server(wanted))
        yield Prepared(
            wanted.url_of(OWNER, wanted.database_password, DATABASE),
            wanted.url_of(READER, wanted.grafana_password or "", DATABASE),
        )
    finally:
        server.remove()


def fill(server: Prepared, store: Path) -> DemoPlatform:
    """Four weeks of demo traffic, staff's work, a policy, a promotion and a roll-back; then a real monitor counts it all."""
    demo: DemoPlatform = run_aside(fill_demo(server.owner_url, store.as_uri()))
    run_aside(do_staff_work(server.owner_url))
    run_aside(_what_the_demo_lacks(server.owner_url, demo))
    let_a_monitor_count(server.owner_url)
    run_aside(_estimate(server.owner_url, demo))
    return demo


async def _what_the_demo_lacks(url: str, demo: DemoPlatform) -> None:
    connection = await open_connection(url)
    try:
        audit = Audit(connection)
        await audit.record("trainer", "model_version.live", demo.champion)
        await audit.record("trainer", "model_version.rolled_back", demo.candidate)
        spec = RetrainPolicySpec.model_validate(
            {"modelName": MODEL, "triggers": {"newLabels": {"min": 20}}, "dryRun": True}
        )
        await RetrainPolicies(connection).create("nightly", spec, created_by="anna")
        await connection.execute(_DECISION)
        await trained_on_something_else(connection, demo.champion)
    finally:
        await connection.close()


async def _estimate(url: str, demo: DemoPlatform) -> None:
    """The demo's confidence is made up, so the monitor rightly refuses to estimate anything from it."""
    connection = await open_connection(url)
    try:
        await connection.execute(_ESTIMATE, demo.champion)
    finally:
        await connection.close()


_ESTIMATE = """
UPDATE quality_figures
   SET estimated_accuracy = 0.81, estimated_accuracy_low = 0.78, estimated_accuracy_high = 0.84, estimate_refused = NULL
 WHERE model_version = $1 AND language = 'all' AND estimated_accuracy IS NULL
"""
_DECISION = """
UPDATE retrain_policies
   SET status = status || jsonb_build_object('lastDecision', jsonb_build_object(
           'at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 'outcome', 'WouldStart',
           'trigger', 'newLabels', 'reason', '31 new labels are at least 20.'))
"""


async def trained_on_something_else(connection: Connection, version: str) -> None:
    """Give the version, whose artefact has none, a reference that the demo's texts have drifted from."""
    words = ("bill", "invoice", "contract", "tariff", "meter", "kilowatt", "deposit", "landlord")
    texts = [f"{words[n % 8]} {words[n // 8 % 8]} {words[n // 64 % 8]}" for n in range(400)]
    profile = profile_of(
        [ReferenceText(text, "en") for text in texts],
        [HeldOutAnswer(text, "neutral", 0.97) for text in texts[:200]],
    )
    row = await ModelVersions(connection).get(version)
    digest = row.version.spec.artifact.digest
    await VersionReferences(connection).keep(version, digest, profile)


def let_a_monitor_count(database_url: str) -> None:
    """Until it has nothing more to count and has told its figures."""
    settings = Settings(
        database_url=SecretStr(database_url), refresh_seconds=0.2, maintenance_seconds=86_400
    )
    with served(create_monitor(settings)) as url:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            if httpx.get(f"{url}/health/ready", timeout=10, trust_env=False).is_success and (
                run_aside(_is_counted(database_url))
            ):
                return
            time.sleep(0.2)
    raise AssertionError("the monitor does not come to an end")


async def _is_counted(url: str) -> bool:
    connection = await open_connection(url)
    try:
        counted: bool = await connection.fetchval(
            "SELECT NOT EXISTS (SELECT FROM tallies_due) AND EXISTS (SELECT FROM quality_figures)"
        )
        return counted
    finally:
        await connection.close()
