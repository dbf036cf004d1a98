"""Python that runs in the cluster, in a Job with the trainer's image and the artefacts mounted."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.e2e.support.kubectl import Kubectl, Manifest
from tests.e2e.support.release import ARTIFACTS_CLAIM
from tests.e2e.support.settings import Settings
from tests.e2e.support.waiting import NeverAgain, until

_USER = 10001
# Where the volume can be mounted by one node only, its pods must be there, as those of the chart are.
NEAR_THE_ARTIFACTS: Manifest = {
    "podAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {
                "weight": 100,
                "podAffinityTerm": {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": {"sentops.dev/artifacts": ARTIFACTS_CLAIM}},
                },
            }
        ]
    }
}


@dataclass(frozen=True)
class Scripts:
    kubectl: Kubectl
    settings: Settings

    def run(self, name: str, source: str, *arguments: str, seconds: float = 240) -> str:
        """The script's output, once it has ended well."""
        self.start(name, source, *arguments)
        return self.finish(name, seconds=seconds)

    def start(self, name: str, source: str, *arguments: str) -> None:
        self.kubectl.apply(_config_map(name, source), self._job(name, arguments))

    def finish(self, name: str, *, seconds: float) -> str:
        def ended() -> bool:
            status = self.kubectl.there("job", name).get("status") or {}
            if status.get("failed"):
                raise NeverAgain(f"{name} failed: {self.kubectl.logs(f'job/{name}')}")
            return bool(status.get("succeeded"))

        until(ended, seconds=seconds)
        output = self.kubectl.logs(f"job/{name}", lines=2000)
        self.kubectl.delete("job", name)
        return output

    def execute(self, name: str, *command: str) -> None:
        """A command beside the script that runs."""
        self.kubectl.run("exec", f"job/{name}", "--", *command)

    def _job(self, name: str, arguments: Sequence[str]) -> Manifest:
        container = {
            "name": "script",
            "image": self.settings.image("trainer"),
            "imagePullPolicy": self.settings.pull_policy,
            "command": ["python", "/script/script.py", *arguments],
            "env": [{"name": "USER", "value": "sentops"}],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "resources": {
                "requests": {"cpu": "20m", "memory": "256Mi"},
                "limits": {"memory": "2Gi"},
            },
            "volumeMounts": [
                {"name": "script", "mountPath": "/script", "readOnly": True},
                {"name": "artifacts", "mountPath": f"/pvc/{ARTIFACTS_CLAIM}"},
                {"name": "tmp", "mountPath": "/tmp"},
            ],
        }
        spec = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "affinity": NEAR_THE_ARTIFACTS,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "runAsGroup": _USER,
                "fsGroup": _USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [
                {"name": "script", "configMap": {"name": name}},
                {
                    "name": "artifacts",
                    "persistentVolumeClaim": {"claimName": ARTIFACTS_CLAIM},
                },
                {"name": "tmp", "emptyDir": {}},
            ],
        }
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name},
            "spec": {"backoffLimit": 0, "template": {"spec": spec}},
        }


def _config_map(name: str, source: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"script.py": source},
    }
