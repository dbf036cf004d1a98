"""A real Alertmanager for tests, on a free port, ended by pid."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.compose.composition import FOLDER, composition, settings
from tests.support.postgres import a_free_port
from tests.support.prometheus import end, started, wait_until_ready

# Debian's name first: the image's is the plain one.
BINARY = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")

needs_alertmanager = pytest.mark.skipif(
    BINARY is None or shutil.which("amtool") is None,
    reason="no alertmanager and amtool here (Debian: apt install prometheus-alertmanager)",
)


@dataclass
class Alertmanager:
    folder: Path
    port: int = field(default_factory=a_free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "Alertmanager":
        assert BINARY is not None
        command = [
            *(BINARY, f"--config.file={self.folder / 'alertmanager.yml'}"),
            *(f"--storage.path={self.folder / 'data'}", "--cluster.listen-address="),
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        self.process = started(command, self.folder / "alertmanager.log")
        wait_until_ready(self.process, f"{self.url}/-/ready", self.folder / "alertmanager.log")
        return self

    def stop(self) -> None:
        if self.process is not None:
            end(self.process)

    def tell(self, *alerts: Mapping[str, Any]) -> None:
        """Hand it alerts as Prometheus would: {labels, annotations, startsAt?, endsAt?}."""
        answer = httpx.post(
            f"{self.url}/api/v2/alerts", json=list(alerts), timeout=10, trust_env=False
        )
        assert answer.is_success, answer.text

    def alerts(self) -> list[Mapping[str, Any]]:
        """What it knows to be firing, with `status.inhibitedBy` and the like."""
        answer = httpx.get(f"{self.url}/api/v2/alerts", timeout=10, trust_env=False)
        found: list[Mapping[str, Any]] = answer.json()
        return found


def config_of_compose(folder: Path, **values: str) -> dict[str, Any]:
    """What the container reads with these variables in .env; its files are put into the folder."""
    stack = composition({**settings(), **values})
    service, folder = stack["alertmanager"], folder / "configuration"
    folder.mkdir(parents=True)
    places = {one.target: FOLDER / one.source for one in service.mounts if one.of_a_folder}
    for one in service.content["configs"]:
        places[one["target"]] = folder / Path(one["target"]).name
        places[one["target"]].write_text(stack.content["configs"][one["source"]]["content"])
    for name in service.content["secrets"]:
        places[f"/run/secrets/{name}"] = folder / name
        (folder / name).write_text(values.get(stack.content["secrets"][name]["environment"], ""))
    text = places["/etc/alertmanager/alertmanager.yml"].read_text()
    for inside, outside in places.items():
        text = text.replace(inside, str(outside))
    config: dict[str, Any] = yaml.safe_load(text)
    return config


@contextmanager
def running_alertmanager(config: Mapping[str, Any], folder: Path) -> Iterator[Alertmanager]:
    """Templates that the configuration names are the caller's to put in place."""
    folder.mkdir(parents=True, exist_ok=True)
    alertmanager = Alertmanager(folder)
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(dict(config)))
    try:
        yield alertmanager.start()
    finally:
        alertmanager.stop()
