"""What the tests are told about the cluster, read once from SENTOPS_E2E_*."""

import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tests.support import helm

DEFAULT_TAG = "dev"


@dataclass(frozen=True)
class Settings:
    """`values`: further files for `helm --values`; `keep`: leave everything where it is afterwards."""

    kubeconfig: str
    kubectl: str
    helm: str
    namespace: str
    registry: str
    tag: str
    pull_policy: str
    storage_class: str
    postgres_image: str
    values: tuple[Path, ...]
    timeout: timedelta
    keep: bool

    def image(self, program: str) -> str:
        prefix = f"{self.registry.rstrip('/')}/" if self.registry else ""
        return f"{prefix}sentops-{program}:{self.tag}"


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    def told(name: str, default: str = "") -> str:
        return environment.get(f"SENTOPS_E2E_{name}") or default

    return Settings(
        kubeconfig=environment.get("KUBECONFIG", ""),
        kubectl=environment.get("KUBECTL") or shutil.which("kubectl") or helm.program("kubectl"),
        helm=environment.get("HELM") or shutil.which("helm") or helm.program("helm"),
        namespace=told("NAMESPACE", f"sentops-e2e-{secrets.token_hex(3)}"),
        registry=told("REGISTRY"),
        tag=told("TAG", DEFAULT_TAG),
        pull_policy=told("PULL_POLICY", "IfNotPresent"),
        storage_class=told("STORAGE_CLASS"),
        postgres_image=told("POSTGRES_IMAGE"),
        values=tuple(Path(one) for one in told("VALUES").split(",") if one),
        timeout=timedelta(seconds=float(told("TIMEOUT", "300"))),
        keep=told("KEEP").lower() in {"1", "true", "yes"},
    )
