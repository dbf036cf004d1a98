"""The chart brings the dashboards of grafana/dashboards for Grafana's sidecar, where it is asked to."""

import json
from pathlib import Path
from typing import Any

from tests.charts.cases import CASES
from tests.support.grafana_files import FOLDER, content_of
from tests.support.grafana_models import Dashboard
from tests.support.helm import CHART, Helm, Rendered

MOST_BYTES = 1_000_000  # of a ConfigMap; kubectl apply keeps no more than a quarter of that in its annotation
LAST_APPLIED_BYTES = 262_144


def delivered(rendered: Rendered) -> dict[str, dict[str, Any]]:
    """By file."""
    found = {}
    for one in rendered.of_kind("ConfigMap"):
        if "grafana_dashboard" in one["metadata"]["labels"]:
            ((file, text),) = one["data"].items()
            assert len(text.encode()) < LAST_APPLIED_BYTES < MOST_BYTES
            found[file] = json.loads(text)
    return found


def asked(**dashboards: Any) -> dict[str, Any]:
    return {"metrics": {"dashboards": {"enabled": True, **dashboards}}}


def test_every_file_is_a_link_to_the_only_copy() -> None:
    links = {file.name: file for file in (CHART / "files/dashboards").iterdir()}
    assert set(links) == {file.name for file in FOLDER.glob("*.json")}
    for link in links.values():
        assert link.is_symlink()
        assert not Path(link.readlink()).is_absolute()
        assert link.resolve().parent == FOLDER


def test_the_dashboards_are_those_of_one_server_but_for_the_way_to_the_back_office(
    helm: Helm,
) -> None:
    values = asked() | {"backoffice": {"url": "https://staff.example.org"}}
    found = delivered(helm.template(values))
    assert set(found) == {f"sentops-{file.name}" for file in FOLDER.glob("*.json")}
    for file, content in found.items():
        assert Dashboard.model_validate(content)
        original = json.dumps(content_of(file.removeprefix("sentops-").removesuffix(".json")))
        for here in ("../../../../backoffice/", "http://127.0.0.1:8001/backoffice/"):
            original = original.replace(here, "https://staff.example.org/backoffice/")
        assert content == json.loads(original)


def test_the_data_sources_of_another_grafana_can_be_named(helm: Helm) -> None:
    sources = {"postgresql": "our-database", "prometheus": "prom1"}
    for content in delivered(helm.template(asked(datasources=sources))).values():
        text = json.dumps(content)
        assert "sentops-postgresql" not in text
        assert "sentops-prometheus" not in text
        assert '"uid": "our-database"' in text
        assert '"uid": "sentops-' in text  # the dashboard's own


def test_the_sidecar_finds_them_by_the_labels_that_it_looks_for(helm: Helm) -> None:
    values = asked(labels={"grafana_dashboard": "yes"}, annotations={"grafana_folder": "Sentops"})
    found = [
        one["metadata"]
        for one in helm.template(values).of_kind("ConfigMap")
        if one["metadata"]["labels"].get("grafana_dashboard") == "yes"
    ]
    assert len(found) == len(list(FOLDER.glob("*.json")))
    assert all(one["annotations"] == {"grafana_folder": "Sentops"} for one in found)


def test_nobody_gets_them_unasked(helm: Helm) -> None:
    assert delivered(helm.template(CASES["defaults"])) == {}
