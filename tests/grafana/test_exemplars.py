"""From a bar of a histogram to the request behind it: a real Prometheus keeps the traces that our programs name."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from sentops_core import trace_context
from sentops_core.trace_context import TraceContext
from sentops_model_server.app import build_app
from sentops_model_server.settings import ModelSettings
from tests.support.artifacts import build_artifact
from tests.support.eventually import eventually
from tests.support.prometheus import (
    Prometheus,
    needs_prometheus,
    running_prometheus,
    scrape_config,
)
from tests.support.serving import served

pytestmark = needs_prometheus


@pytest.fixture
def model_url(tmp_path: Path) -> Iterator[str]:
    built = build_artifact(tmp_path / "artifact")
    settings = ModelSettings(control_token=SecretStr("t"), cache_dir=tmp_path / "cache", workers=1)
    with served(build_app(settings)) as url:
        wanted = {"storage_uri": built.uri, "digest": built.digest, "model_version": "m-v1"}
        answer = httpx.put(
            f"{url}/slots/champion", json=wanted, headers={"authorization": "Bearer t"}, timeout=60
        )
        assert answer.status_code == 200, answer.text
        yield url


def ask(url: str, trace: TraceContext) -> None:
    headers = {"traceparent": trace.traceparent}
    answer = httpx.post(f"{url}/predict", json={"text": "good"}, headers=headers)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "name",
    [
        "sentops_http_request_duration_seconds_bucket",
        "sentops_model_inference_seconds_bucket",
        "sentops_model_queue_wait_seconds_bucket",
    ],
)
async def test_a_histogram_leads_to_the_trace_of_a_request(
    model_url: str, tmp_path: Path, name: str
) -> None:
    asked = trace_context.new_trace()
    ask(model_url, asked)
    port = httpx.URL(model_url).port
    assert port is not None

    def traces(prometheus: Prometheus) -> set[str]:
        series = prometheus.api("query_exemplars", query=name, start="0", end="9999999999")
        return {one["labels"]["trace_id"] for each in series for one in each["exemplars"]}

    with running_prometheus(
        scrape_config(model=port), tmp_path / "prometheus", "--enable-feature=exemplar-storage"
    ) as prometheus:
        await eventually(lambda: asked.trace_id in traces(prometheus), within=30, every=0.2)
