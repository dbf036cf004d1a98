"""A small face of the Kubernetes API: manifests in and out as plain dicts, errors as meanings."""

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeAlias

import aiohttp
from kubernetes.aio.client import ApiClient

from sentops_core.domain.errors import NotFound, Unavailable
from sentops_core.kube.errors import to_error
from sentops_core.kube.kinds import POD, Kind, kind_of

Manifest: TypeAlias = dict[str, Any]
# Told of every call: verb as RBAC names it, resource (with its subresource), HTTP status (0: no answer).
CallObserver: TypeAlias = Callable[[str, str, int], None]

_APPLY = "application/apply-patch+yaml"
_MERGE_PATCH = "application/merge-patch+json"
_PAGE = 500


def _nobody(verb: str, resource: str, status: int) -> None:
    """Without an observer."""


class KubeApi:
    """One program's access to the API server; every write carries its field manager."""

    def __init__(
        self,
        client: ApiClient,
        *,
        field_manager: str,
        observer: CallObserver = _nobody,
        timeout: timedelta = timedelta(seconds=15),
    ) -> None:
        self._client = client
        self._field_manager = field_manager
        self._observer = observer
        self._timeout = timeout.total_seconds()

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Manifest:
        """NotFound when there is none."""
        return await self._json("get", kind, namespace, name)

    async def list(
        self, kind: Kind, namespace: str | None = None, *, labels: Mapping[str, str] | None = None
    ) -> list[Manifest]:
        """Every object of a namespace, or of all; in pages, so that a big cluster costs no big answer."""
        query = {"limit": str(_PAGE)}
        if labels:
            query["labelSelector"] = ",".join(f"{key}={value}" for key, value in labels.items())
        found: list[Manifest] = []
        while True:
            page = await self._json("list", kind, namespace, query=query)
            # Items of a list carry neither kind nor version.
            found += [
                {"apiVersion": kind.api_version, "kind": kind.name, **item}
                for item in page.get("items") or ()
            ]
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return found
            query["continue"] = token

    async def create(self, manifest: Manifest) -> Manifest:
        """Conflict when it is there already."""
        kind, namespace, _ = _address(manifest)
        query = {"fieldManager": self._field_manager}
        return await self._json("create", kind, namespace, query=query, body=manifest)

    async def apply(self, manifest: Manifest) -> Manifest:
        """Server-side apply: fields we leave out and owned before are removed, others' fields stay."""
        kind, namespace, name = _address(manifest)
        return await self._apply(kind, namespace, name, None, manifest)

    async def apply_status(
        self, kind: Kind, namespace: str, name: str, status: object, *, resource_version: str | None
    ) -> Manifest:
        """The whole status; Conflict when the object moved on from `resource_version`."""
        metadata = {"name": name, "namespace": namespace}
        if resource_version is not None:
            metadata["resourceVersion"] = resource_version
        body = {
            "apiVersion": kind.api_version,
            "kind": kind.name,
            "metadata": metadata,
            "status": status,
        }
        return await self._apply(kind, namespace, name, "status", body)

    async def merge_patch(
        self, kind: Kind, namespace: str, name: str, patch: Mapping[str, object]
    ) -> Manifest:
        """RFC 7386: what is null goes, what is left out stays."""
        query = {"fieldManager": self._field_manager}
        return await self._json(
            "patch", kind, namespace, name, query=query, body=patch, content_type=_MERGE_PATCH
        )

    async def delete(self, kind: Kind, namespace: str, name: str) -> bool:
        """Its children go after it. False: it was gone already."""
        try:
            await self._json(
                "delete", kind, namespace, name, query={"propagationPolicy": "Background"}
            )
        except NotFound:
            return False
        return True

    async def log(self, namespace: str, pod: str, *, container: str, limit_bytes: int) -> str:
        """The end of a container's log; NotFound when the pod is gone."""
        query = {"container": container, "tailLines": "2000", "limitBytes": str(limit_bytes)}
        raw = await self._call("get", POD, namespace, pod, part="log", query=query)
        return raw.decode(errors="replace")

    async def _apply(
        self, kind: Kind, namespace: str | None, name: str, part: str | None, body: Manifest
    ) -> Manifest:
        query = {"fieldManager": self._field_manager, "force": "true"}
        return await self._json(
            "patch", kind, namespace, name, part=part, query=query, body=body, content_type=_APPLY
        )

    async def _json(self, *args: Any, **options: Any) -> Manifest:
        raw = await self._call(*args, **options)
        try:
            document = json.loads(raw)
        except ValueError as error:
            raise Unavailable("The API server's answer is no JSON; is a proxy between?") from error
        if not isinstance(document, dict):
            raise Unavailable("The API server's answer is no object; is a proxy between?")
        return document

    async def _call(
        self,
        verb: str,
        kind: Kind,
        namespace: str | None,
        name: str | None = None,
        *,
        part: str | None = None,
        query: Mapping[str, str] | None = None,
        body: object | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        resource = f"{kind.plural}/{part}" if part else kind.plural
        what = f"{verb} {resource} {name or ''}".rstrip()
        path = kind.path(namespace, name, part)
        request = await self._client.param_serialize(
            _METHODS[verb],
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": "*/*", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        status = 0
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._client.call_api(*request, _request_timeout=self._timeout)
                status = answer.status
                raw: bytes = await answer.read()  # type: ignore[no-untyped-call]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"{what}: the API server does not answer ({error!r})") from error
        finally:
            self._observer(verb, resource, status)
        if not 200 <= status < 300:
            wait = answer.getheader("Retry-After")  # type: ignore[no-untyped-call]
            raise to_error(status, raw, wait, what)
        return raw


_METHODS = {"get": "GET", "list": "GET", "create": "POST", "patch": "PATCH", "delete": "DELETE"}


def _address(manifest: Manifest) -> tuple[Kind, str | None, str]:
    metadata = manifest["metadata"]
    return kind_of(manifest), metadata.get("namespace"), metadata.get("name", "")
