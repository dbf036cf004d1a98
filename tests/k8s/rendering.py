"""Writes k8s/base/sentops.yaml: the chart, rendered for `kubectl apply -k k8s/`.

`make k8s-manifests` runs it; HELM_OPTIONS="--set image.registry=registry.example.org" changes the rendering.
"""

import re
import shlex
import sys
import tempfile
from pathlib import Path

from tests.support.helm import Helm

FILE = Path(__file__).parents[2] / "k8s" / "base" / "sentops.yaml"
NAMESPACE = "sentops"
_HEADER = """\
# Rendered from charts/sentops by `make k8s-manifests`; do not edit. What it leaves out stands beside it in k8s/: the
# kinds (crds), the admission policy, and who makes the Secrets (secrets).
"""
_VALUES = {
    "secrets": {"existingSecret": "sentops-credentials"},
    "postgresql": {"existingSecret": "sentops-database"},
    "crds": {"enabled": False},
    "admissionPolicy": {"enabled": False},
    "operator": {"cleanupOnUninstall": False},
}


def rendered(helm: Helm, *options: str) -> str:
    """The text of the file; hooks are Helm's own and left out."""
    found = helm.template(_VALUES, namespace=NAMESPACE, options=("--no-hooks", *options))
    lines = [line.rstrip() for line in found.text.strip().splitlines()]
    # Helm's own marks would be untrue of what kubectl applies.
    kept = [line for line in lines if "helm.sh/" not in line and line]
    text = _HEADER + "\n".join(kept) + "\n"
    return re.sub(r"( *)annotations:\n(?!\1 )", "", text)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        FILE.write_text(rendered(Helm(Path(folder)), *shlex.split(" ".join(sys.argv[1:]))))
