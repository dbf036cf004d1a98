"""Our programs on real ports with something to do, and a real Prometheus that scrapes them."""

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

import httpx
import yaml
from fastapi import FastAPI
from pydantic import SecretStr

from sentops_core.domain.resources import RetrainPolicySpec
from sentops_core.http.metrics import metrics_router
from sentops_core.kube.kinds import MODEL_VERSION, TRAINING_JOB
from sentops_core.process_metrics import new_registry
from sentops_core.store.audit import Audit
from sentops_core.store.pool import open_connection
from sentops_core.store.retrain_policies import RetrainPolicies
from sentops_monitor.app import create_monitor
from sentops_monitor.settings import Settings as MonitorSettings
from sentops_operator.metrics import OperatorMetrics
from sentops_operator.object_cache import ObjectCache
from sentops_operator.work_queue import WorkQueue
from sentops_trainer.app import create_trainer
from sentops_trainer.settings import LocalSettings
from tests.support.demo_models import MODEL
from tests.support.demo_platform import fill_demo
from tests.support.demo_site import DemoSite, demo_site
from tests.support.grafana_data import trained_on_something_else
from tests.support.grafana_files import ROOT
from tests.support.postgres import a_free_port, run_aside
from tests.support.prometheus import Prometheus, running_prometheus, scrape_config
from tests.support.serving import served

_TOKEN = SecretStr("a token that only this machine sees")
_PATIENCE = 150
RULES = sorted((ROOT / "grafana/rules").glob("*.yaml"))


@dataclass(frozen=True)
class Watched:
    site: DemoSite
    prometheus: Prometheus


@contextmanager
def watched_programs(folder: Path, database_url: str) -> Iterator[Watched]:
    """web, back office, model server and monitor of the demo site; a trainer with a database of its own; the operator's metrics.

    The trainer gets another database since it would go on with the demo's trainings.
    """
    run_aside(_fill_for_the_trainer(database_url, folder))
    with (
        _site() as site,
        served(_monitor(site.database_url)) as monitor,
        served(_trainer(database_url, folder)) as trainer,
        served(_operator()) as operator,
    ):
        ports = {
            name: urlsplit(url).port or 0
            for name, url in (
                ("web", site.web),
                ("backoffice", site.backoffice),
                ("model", site.model),
                ("monitor", monitor),
                ("trainer", trainer),
                ("operator", operator),
            )
        }
        config = scrape_config(rule_files=[*RULES, _always(folder)], **ports)
        with (
            running_prometheus(config, folder / "prometheus") as prometheus,
            visitors(site),
        ):
            _wait(prometheus)
            yield Watched(site, prometheus)


@contextmanager
def _site() -> Iterator[DemoSite]:
    with demo_site() as site:
        run_aside(_let_it_drift(site))
        yield site


async def _let_it_drift(site: DemoSite) -> None:
    connection = await open_connection(site.database_url)
    try:
        await trained_on_something_else(connection, site.demo.champion)
    finally:
        await connection.close()


def _always(folder: Path) -> Path:
    """An alert that fires at once, for panels that show alerts."""
    file = folder / "always.yaml"
    rule = {"alert": "Always", "expr": "up == 1", "labels": {"severity": "info", "version": "a-v1"}}
    file.write_text(yaml.safe_dump({"groups": [{"name": "always", "rules": [rule]}]}))
    return file


def _wait(prometheus: Prometheus) -> None:
    """Until everything was scraped some times with something happening in between."""
    deadline = time.monotonic() + _PATIENCE
    for expression in (
        "min(count_over_time(up[1m])) >= 8",
        "sum(increase(sentops_web_predictions_total[15s])) > 0",
        "sum(increase(sentops_web_votes_total[15s])) > 0",
        "sum(increase(sentops_web_database_rows_total[15s])) > 0",
        "count(sentops_feedback_accuracy_ratio) > 0",
        "sum(increase(sentops_monitor_round_seconds_count[15s])) > 0",
        "count(sentops_drift_detected) > 0",
        "count(sentops:web_latency_seconds:p95_10m) > 0",
        "count(sentops:feedback_votes_expected:24h) > 0",
        'count(ALERTS{alertstate="firing"}) > 0',
        "count(sentops_training_last_success_timestamp_seconds) > 0",
        "count(sentops_retrain_last_decision_timestamp_seconds) > 0",
    ):
        while not prometheus.query(expression):
            assert time.monotonic() < deadline, f"never seen: {expression}"
            time.sleep(0.5)


@contextmanager
def visitors(site: DemoSite) -> Iterator[None]:
    """People who ask and vote while the block runs."""
    gone = Event()

    def visit() -> None:
        with httpx.Client(base_url=site.web, timeout=20, trust_env=False) as client:
            for number in itertools.count():
                if gone.is_set():
                    return
                asked = client.post("/api/predict", json={"text": f"ottimo prodotto {number}"})
                if asked.is_success:
                    vote = {"prediction_id": asked.json()["prediction_id"], "feedback": "positive"}
                    client.post("/api/feedback", json=vote)
                client.post("/api/predict/batch", json={"texts": ["bello", "brutto " * 900]})
                gone.wait(0.3)

    thread = Thread(target=visit, daemon=True)
    thread.start()
    try:
        yield
    finally:
        gone.set()
        thread.join(30)


def _monitor(database_url: str) -> FastAPI:
    return create_monitor(MonitorSettings(database_url=SecretStr(database_url), refresh_seconds=1))


def _trainer(database_url: str, folder: Path) -> FastAPI:
    return create_trainer(
        LocalSettings(
            database_url=SecretStr(database_url),
            token=_TOKEN,
            store_uri=(folder / "store").as_uri(),
            runs_dir=folder / "runs",
            model_url=f"http://127.0.0.1:{a_free_port()}",  # nobody: roll-outs are not what this is about
            model_control_token=_TOKEN,
        )
    )


async def _fill_for_the_trainer(url: str, folder: Path) -> None:
    """Trainings that have ended, versions, a backup and a policy: nothing that a trainer would start for real."""
    await fill_demo(url, (folder / "store").as_uri())
    connection = await open_connection(url)
    try:
        await connection.execute(
            "DELETE FROM training_jobs WHERE phase NOT IN ('Succeeded', 'Rejected', 'Failed')"
        )
        await Audit(connection).record("anna", "backup.created", "backup", {"complete": True})
        spec = RetrainPolicySpec.model_validate(
            {"modelName": MODEL, "triggers": {"newLabels": {"min": 1}}, "dryRun": True}
        )
        await RetrainPolicies(connection).create("nightly", spec, created_by="anna")
    finally:
        await connection.close()


def _operator() -> FastAPI:
    """What the operator serves, without the cluster it would work in."""
    registry = new_registry("operator")
    cache = ObjectCache()
    for kind in (TRAINING_JOB, MODEL_VERSION):
        metadata = {"name": "a", "namespace": "team", "uid": "1", "resourceVersion": "1"}
        spec = {"modelName": MODEL}
        cache.see(kind, {"metadata": metadata, "spec": spec, "status": {"phase": "Running"}})
    metrics = OperatorMetrics.on(registry, cache, WorkQueue())
    metrics.converges.labels("TrainingJob", "ok").inc()
    metrics.converge_seconds.labels("TrainingJob").observe(0.02)
    metrics.count_call("get", "trainingjobs", 200)
    app = FastAPI()
    app.include_router(metrics_router(registry))
    return app
