"""Rendering against a (pretend) cluster, where `lookup` finds what is there."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sentops_core.kube.kinds import Kind
from tests.support.helm import Helm, Manifest, Rendered
from tests.support.kube_api import KubeServer
from tests.support.kube_objects import KubeObjects

# (objects in the cluster, values) -> what an upgrade there renders
RenderIn = Callable[[list[Manifest], dict[str, Any]], Awaitable[Rendered]]


@pytest.fixture
def render_in(helm: Helm, tmp_path: Path) -> RenderIn:
    async def render(there: list[Manifest], values: dict[str, Any]) -> Rendered:
        known = {_kind_of(one) for one in (*there, *helm.template(values).manifests)}
        async with KubeServer(objects=KubeObjects(kinds=tuple(known))) as cluster:
            for one in there:
                cluster.put(_kind_of(one), one)
            kubeconfig = cluster.write_kubeconfig(tmp_path / "kubeconfig")
            options = (
                *("--is-upgrade", "--dry-run=server", "--disable-openapi-validation"),
                *("--kubeconfig", str(kubeconfig)),
            )
            return await asyncio.to_thread(helm.template, values, options=options)

    return render


def _kind_of(one: Manifest) -> Kind:
    name = one["kind"]
    plural = name.lower().removesuffix("y") + ("ies" if name.endswith("y") else "s")
    return Kind(one["apiVersion"], name, plural)
