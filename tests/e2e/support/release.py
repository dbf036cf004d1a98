"""The chart in the cluster: installed for these tests, small enough for a laptop's."""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.support.settings import Settings
from tests.support.helm import CHART

RELEASE = "sentops"
MODEL = "sentiment"
ARTIFACTS_CLAIM = f"{RELEASE}-artifacts"
CREDENTIALS = f"{RELEASE}-credentials"
STORE = f"pvc://{ARTIFACTS_CLAIM}/store"
CRDS = ("trainingjobs.sentops.dev", "modelversions.sentops.dev", "retrainpolicies.sentops.dev")
POLICY = "live-versions.sentops.dev"
_INSTALL_SECONDS = 900


@dataclass(frozen=True)
class Release:
    """`there`: values that leave alone what the whole cluster shares and had before."""

    settings: Settings
    home: Path
    there: Mapping[str, Any]

    def install(self, **more: Any) -> None:
        """`helm upgrade --install --wait`: what is returned from is up."""
        values = {**values_for(self.settings), **self.there, **more}
        with tempfile.NamedTemporaryFile("w", suffix=".json", dir=self.home, delete=False) as file:
            json.dump(values, file)
        files = [file.name, *map(str, self.settings.values)]
        self.helm(
            *("upgrade", "--install", RELEASE, str(CHART), "--wait"),
            *("--timeout", f"{_INSTALL_SECONDS}s"),
            *(part for one in files for part in ("--values", one)),
        )

    def helm(self, *arguments: str) -> str:
        folders = {
            f"HELM_{kind}_HOME": str(self.home / kind.lower())
            for kind in ("CACHE", "CONFIG", "DATA")
        }
        done = subprocess.run(
            [self.settings.helm, "--namespace", self.settings.namespace, *arguments],
            env={**os.environ, **folders},
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS + 60,
            check=False,
        )
        assert done.returncode == 0, (
            f"helm {arguments[0]}: {done.stderr[-3000:]}{done.stdout[-3000:]}"
        )
        return done.stdout


def values_for(settings: Settings) -> dict[str, Any]:
    """Images and storage as this cluster has them; requests that fit beside each other on two cores."""
    storage = {"storageClass": settings.storage_class}
    small = {"requests": {"cpu": "20m", "memory": "96Mi"}, "limits": {"memory": "768Mi"}}
    values: dict[str, Any] = {
        "image": {
            "registry": settings.registry,
            "tag": settings.tag,
            "pullPolicy": settings.pull_policy,
        },
        "modelName": MODEL,
        "web": {"resources": small, "spool": {"size": "1Gi", **storage}},
        "backoffice": {"resources": small},
        "trainer": {"resources": small, "settings": {"retrainSeconds": 5}},
        "monitor": {"resources": small},
        "operator": {"resources": small, "settings": {"resyncSeconds": 60}},
        "model": {
            "resources": {
                "requests": {"cpu": "20m", "memory": "128Mi"},
                "limits": {"cpu": "1", "memory": "768Mi"},
            }
        },
        "runs": {
            "resources": {
                "requests": {"cpu": "100m", "memory": "512Mi"},
                "limits": {"cpu": "2", "memory": "2Gi"},
            },
            "work": {"size": "1Gi", **storage},
        },
        "postgresql": {"resources": small, "storage": {"size": "1Gi", **storage}},
        "artifacts": {"pvc": {"size": "2Gi", **storage}},
    }
    if settings.postgres_image:
        values["postgresql"]["image"] = settings.postgres_image
    return values
