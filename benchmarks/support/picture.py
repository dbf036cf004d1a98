"""The result of bench-model as a picture: bars of CPU per answer and of sustained rate, by server."""

from html import escape
from typing import Any

_NAMES = {
    "sentops": "Sentops, full model",
    "sentops-fast": "Sentops, fast path",
    "reference": "FastAPI + transformers",
    "kserve": "KServe's Python server",
}
_WIDTH, _LABELS, _VALUES = 760, 210, 90
_ROW, _BAR, _TITLE, _GAP = 30, 18, 34, 22
_STYLE = """text{font:13px system-ui,sans-serif;fill:#1f2933}.t{font-weight:600;font-size:14px}.n{fill:#52606d;font-size:12px}
.ours{fill:#0b7285}.theirs{fill:#adb5bd}@media(prefers-color-scheme:dark){text{fill:#e4e7eb}.n{fill:#9aa5b1}.theirs{fill:#616e7c}}"""


def picture(report: dict[str, Any]) -> str:
    """An SVG, light or dark as its page is."""
    cpu = {name: one["median"] for name, one in report["cpu_seconds_per_1000"].items()}
    rates = {name: rate for name, rate in report["sustained_per_second"].items() if rate}
    parts: list[str] = []
    y = _bars(parts, 0, "CPU-seconds per 1,000 answers (less is better)", cpu, "{:.2f}")
    if rates:
        y = _bars(
            parts,
            y + _GAP,
            "Answers a second with p99 < 100 ms, open loop (more is better)",
            rates,
            "{:.0f}",
        )
    machine = report["machine"]
    note = f"{len(machine['cores_used_by_servers'])} cores, {machine['cpu']}; {report['model']['base']}, "
    note += f"{report['texts']['tokens']} tokens a text, one text a request; revision {report['revision']}"
    parts.append(f'<text class="n" x="0" y="{y + 20}">{escape(note)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + 30}" role="img">'
        f"<title>What an answer costs</title><style>{_STYLE}</style>{''.join(parts)}</svg>\n"
    )


def _bars(parts: list[str], top: int, title: str, values: dict[str, float], form: str) -> int:
    """Drawn below `top`; returns where they end."""
    parts.append(f'<text class="t" x="0" y="{top + 18}">{escape(title)}</text>')
    y, room = top + _TITLE, _WIDTH - _LABELS - _VALUES
    for name, value in values.items():
        width = round(room * value / max(values.values()), 1)
        kind = "ours" if name.startswith("sentops") else "theirs"
        middle = y + _BAR - 4
        parts.append(
            f'<text x="0" y="{middle}">{escape(_NAMES.get(name, name))}</text>'
            f'<rect class="{kind}" x="{_LABELS}" y="{y}" width="{width}" height="{_BAR}" rx="2"/>'
            f'<text x="{_LABELS + width + 8}" y="{middle}">{form.format(value)}</text>'
        )
        y += _ROW
    return y
