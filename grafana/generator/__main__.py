"""`python -m grafana.generator` writes every dashboard."""

from grafana.generator import FOLDER, as_text, dashboards

FOLDER.mkdir(exist_ok=True)
for name, dashboard in dashboards().items():
    (FOLDER / f"{name}.json").write_text(as_text(dashboard), encoding="utf-8")
