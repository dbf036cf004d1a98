"""kubectl, with JSON in and out."""

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]

_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ->")


@dataclass(frozen=True)
class Kubectl:
    """One namespace of one cluster; every call ends within its time."""

    binary: str
    namespace: str

    def run(
        self, *arguments: str, given: str | None = None, seconds: float = 60, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        command = [self.binary, "--namespace", self.namespace, *arguments]
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=seconds, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()[-2000:]}")
        return done

    def get(self, kind: str, name: str) -> Manifest | None:
        """None when there is none."""
        output = self.run("get", kind, name, "--ignore-not-found", "--output", "json").stdout
        return json.loads(output) if output.strip() else None

    def there(self, kind: str, name: str) -> Manifest:
        found = self.get(kind, name)
        assert found is not None, f"there is no {kind} {name}"
        return found

    def list(self, kind: str, labels: Mapping[str, str] | None = None) -> list[Manifest]:
        selector = ",".join(f"{key}={value}" for key, value in (labels or {}).items())
        output = self.run("get", kind, "--selector", selector, "--output", "json").stdout
        items: list[Manifest] = json.loads(output)["items"]
        return items

    def apply(self, *manifests: Manifest) -> None:
        self.run("apply", "--filename", "-", given=_as_list(manifests))

    def refusal(self, manifest: Manifest) -> str:
        """Why the API server does not take it, as kubectl says it."""
        done = self.run("apply", "--filename", "-", given=_as_list([manifest]), check=False)
        assert done.returncode != 0, f"it was taken: {done.stdout}"
        return done.stderr

    def patch(self, kind: str, name: str, change: Mapping[str, object]) -> None:
        self.run("patch", kind, name, "--type", "merge", "--patch", json.dumps(change))

    def delete(self, kind: str, name: str, *options: str) -> None:
        self.run("delete", kind, name, "--ignore-not-found", *options, seconds=180)

    def wait(self, what: str, condition: str, seconds: float) -> None:
        """`kubectl wait --for=...`, as people write it."""
        arguments = ("wait", what, f"--for={condition}", f"--timeout={seconds:.0f}s")
        self.run(*arguments, seconds=seconds + 30)

    def logs(self, what: str, lines: int = 200) -> str:
        done = self.run("logs", what, "--all-containers", f"--tail={lines}", check=False)
        return done.stdout or done.stderr

    @contextmanager
    def forward(self, service: str, port: int) -> Iterator[str]:
        """A Service on a free local port; its http address."""
        command = [self.binary, "--namespace", self.namespace]
        command += ["port-forward", f"service/{service}", f":{port}"]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ
        )
        try:
            yield f"http://127.0.0.1:{_local_port(process)}"
        finally:
            process.terminate()
            process.wait(timeout=10)


def _local_port(process: subprocess.Popen[str]) -> int:
    """What kubectl chose; whatever it says later is read too, or it would block."""
    assert process.stdout is not None
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        if found := _FORWARDING.search(line):
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return int(found[1])
    raise AssertionError(f"kubectl port-forward ended: {''.join(said).strip()}")


def _as_list(manifests: Any) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
