"""grafana/metrics.md lists exactly what the programs export.

`UPDATE_METRICS=1 pytest tests/grafana/test_metric_catalogue.py` writes the tables anew from the programs.
"""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from sentops_backoffice.app import create_backoffice
from sentops_backoffice.settings import Settings as BackofficeSettings
from sentops_model_server.app import build_app
from sentops_model_server.settings import ModelSettings
from sentops_monitor.app import create_monitor
from sentops_monitor.settings import Settings as MonitorSettings
from sentops_operator.startup import Operator
from sentops_trainer.app import create_trainer
from sentops_trainer.settings import ClusterSettings, LocalSettings
from sentops_web.app import create_web
from sentops_web.settings import Settings as WebSettings
from sentops_web.spool import Spool
from tests.operator.conftest import settings_for_tests
from tests.support.eventually import eventually
from tests.support.kube_api import KubeServer
from tests.support.lifespan import started
from tests.support.metric_catalogue import CATALOGUE, Exported, sections

pytestmark = pytest.mark.pg

NOWHERE = "http://127.0.0.1:9"
EVERY_PROGRAM, EVERY_SERVICE = "Every program", "Every HTTP service"


@asynccontextmanager
async def all_programs(
    database_url: str, folder: Path, kube: KubeServer
) -> AsyncIterator[dict[str, list[CollectorRegistry]]]:
    """The registries of every program, running with all that can be turned on; the trainer on both substrates."""
    web = WebSettings.model_validate(
        {
            "database_url": database_url,
            "trainer_url": NOWHERE,
            "signing_key": "k" * 32,
            "spool_dir": folder / "spool",
        }
    )
    staff = BackofficeSettings.model_validate(
        {
            "database_url": database_url,
            "trainer_url": NOWHERE,
            "trainer_token": "t",
            "store_uri": folder.as_uri(),
            "certificate_host": "127.0.0.1:9",
        }
    )
    control = {"database_url": database_url, "token": "t", "mlflow_url": NOWHERE}
    local = LocalSettings.model_validate(
        control
        | {
            "store_uri": folder.as_uri(),
            "model_url": NOWHERE,
            "model_control_token": "t",
            "runs_dir": folder / "runs",
        }
    )
    cluster = ClusterSettings.model_validate(
        control | {"store_uri": "s3://nowhere/store", "namespace": "team"}
    )
    monitor = MonitorSettings.model_validate({"database_url": database_url})
    async with AsyncExitStack() as stack:
        spool = Spool.open(web.spool_dir, max_rows=1, max_bytes=1)
        stack.enter_context(closing(spool))
        apps: dict[str, list[FastAPI]] = {
            "web": [create_web(web, spool)],
            "model": [build_app(ModelSettings(cache_dir=folder / "cache"))],
            "backoffice": [create_backoffice(staff)],
            "trainer": [create_trainer(local), create_trainer(cluster)],
            "monitor": [create_monitor(monitor)],
        }
        for app in (one for each in apps.values() for one in each):
            await stack.enter_async_context(started(app))
            await is_scraped(app)
        client = await stack.enter_async_context(kube.client())
        operator = Operator(settings_for_tests(), client)
        registries = {
            program: [app.state.registry for app in each] for program, each in apps.items()
        }
        yield registries | {"operator": [operator.registry]}


async def is_scraped(app: FastAPI) -> None:
    """What the registry holds is what Prometheus gets."""
    transport = httpx.ASGITransport(app)

    async def answered() -> bool:
        async with httpx.AsyncClient(transport=transport, base_url="http://program") as client:
            text = (await client.get("/metrics")).text
        return "sentops_build_info{" in text

    await eventually(answered)


def exported_by(registries: list[CollectorRegistry]) -> set[Exported]:
    found = set()
    for registry in registries:
        for collector in registry._collector_to_names:
            labels = getattr(collector, "_labelnames", None)
            found |= {exported(family, labels) for family in collector.collect()}
    return found


def exported(family: Metric, labels: tuple[str, ...] | None) -> Exported:
    kind, name = family.type, family.name
    if labels is None:
        labels = getattr(family, "_labelnames", ())
    match kind:
        case "counter":
            name = f"{name}_total"
        case "info":
            name = f"{name}_info"
            labels = tuple(sorted(family.samples[0].labels))
    return Exported(name, kind, tuple(labels), family.documentation)


def by_section(programs: dict[str, set[Exported]]) -> dict[str, set[Exported]]:
    """What all have is listed once."""
    all_have = set.intersection(*programs.values())
    services = [found for program, found in programs.items() if program != "operator"]
    services_have = set.intersection(*services) - all_have
    return {EVERY_PROGRAM: all_have, EVERY_SERVICE: services_have} | {
        program: found - all_have - services_have for program, found in programs.items()
    }


def rewritten(text: str, wanted: dict[str, set[Exported]]) -> str:
    """The catalogue with its tables made anew; what stands around them stays."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("| `"):
            continue
        lines.append(line)
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif line.startswith("|---"):
            lines += [one.row for one in sorted(wanted[heading])]
    return "\n".join(lines) + "\n"


async def test_the_catalogue_lists_exactly_what_the_programs_export(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with KubeServer() as kube:
        config = kube.write_kubeconfig(tmp_path / "kubeconfig", namespace="team")
        monkeypatch.setenv("KUBECONFIG", str(config))
        async with all_programs(database_url, tmp_path, kube) as registries:
            programs = {program: exported_by(each) for program, each in registries.items()}
    ours = {
        program: {one for one in found if one.name.startswith("sentops_")}
        for program, found in programs.items()
    }
    wanted = {heading: found for heading, found in by_section(ours).items() if found}
    if os.environ.get("UPDATE_METRICS"):
        CATALOGUE.write_text(rewritten(CATALOGUE.read_text(), wanted))
    listed = sections()
    for heading, found in wanted.items():
        assert [one.row for one in listed.get(heading, [])] == [one.row for one in sorted(found)], (
            f"grafana/metrics.md, {heading}: UPDATE_METRICS=1 pytest {Path(__file__).name} writes it anew"
        )
    assert {heading for heading, rows in listed.items() if rows} == set(wanted)


async def test_what_every_metric_says_is_a_sentence_and_its_name_follows_the_conventions() -> None:
    for listed in sections().values():
        for one in listed:
            assert one.text.endswith((".", ")")), one
            assert (one.type == "counter") == one.name.endswith("_total"), one
            assert one.type != "info" or one.name.endswith("_info"), one
            assert not {"id", "prediction_id", "client", "job", "instance"} & set(one.labels), one
            if "_seconds" in one.name and one.type != "counter":
                assert one.name.endswith("_seconds"), one
