"""A pretend Kubernetes API server on a real port, for kopf, KubeApi and kubectl-like clients.

It keeps what clients rely on: resourceVersion, generation, uid, 409, merge and JSON patch, server-side apply (lists
replaced whole), status apart from spec, selectors, pages, watches with bookmarks and 410, garbage collection. It has
no schemas, defaults or RBAC (see `KubeObjects.admission`), and no controllers: tests play the kubelet by `set_status`.

    async with KubeServer() as kube:
        async with kube.client() as client:
            api = KubeApi(client, field_manager="test")
"""

import asyncio
import base64
import contextlib
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from sentops_core.kube.kinds import Kind
from tests.support.kube_discovery import discovery
from tests.support.kube_objects import ApiError, KubeObjects, Manifest, has_status
from tests.support.kube_selectors import log_part, selector
from tests.support.kube_watch import Watch

_CUSTOM = re.compile(r".*\.dev/.*")  # lists of custom resources carry kind and version per item


@dataclass(frozen=True)
class Call:
    """One request as RBAC names it: verb, resource with its subresource."""

    verb: str
    resource: str
    namespace: str
    name: str
    status: int
    manager: str = ""
    body: Any = None


@dataclass
class Fault:
    """What befalls the next `times` calls that fit; status None is a connection cut without an answer."""

    times: int = 1
    status: int | None = 500
    verb: str | None = None
    resource: str | None = None
    name: str | None = None
    delay: float = 0
    retry_after: int | None = None
    done_first: bool = False  # the write happens, only its answer is lost
    seen: int = 0

    def fits(self, verb: str, resource: str, name: str) -> bool:
        wanted = ((self.verb, verb), (self.resource, resource), (self.name, name))
        return self.seen < self.times and all(one in {None, is_} for one, is_ in wanted)


class _Lost(Exception):
    """The answer shall not arrive."""


@dataclass
class _Target:
    kind: Kind
    namespace: str
    name: str
    part: str | None

    @property
    def resource(self) -> str:
        return f"{self.kind.plural}/{self.part}" if self.part else self.kind.plural


@dataclass
class KubeServer:
    """The server; its state outlives `stop` and `start`, as etcd's does."""

    objects: KubeObjects = field(default_factory=KubeObjects)
    bookmark_seconds: float = 5.0
    calls: list[Call] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    logs: dict[tuple[str, str], str] = field(default_factory=dict)  # (namespace, pod)
    token_reviews: dict[str, Manifest] = field(default_factory=dict)  # token: status
    token: str | None = None  # what clients must present; None lets everybody in
    _runner: web.AppRunner | None = None
    _port: int = 0
    _watches: set[asyncio.Task[Any]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """At the same port as before, so that clients find it again."""
        app = web.Application(client_max_size=10_000_000)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self.break_watches()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @asynccontextmanager
    async def client(self) -> AsyncIterator[ApiClient]:
        """For `KubeApi`."""
        settings = Configuration(host=self.url)
        if self.token is not None:
            settings.api_key = {"BearerToken": f"Bearer {self.token}"}
        async with ApiClient(configuration=settings) as client:
            yield client

    def write_kubeconfig(self, file: Path, *, namespace: str = "default") -> Path:
        user = {"token": self.token} if self.token is not None else {}
        context = {"cluster": "test", "user": "test", "namespace": namespace}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.url}}],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": context}],
            "current-context": "test",
        }
        file.write_text(yaml.safe_dump(document))
        return file

    # What tests arrange and look at, without HTTP

    def put(
        self, kind: Kind, manifest: Mapping[str, Any], *, namespace: str = "default"
    ) -> Manifest:
        """Create it with its status."""
        place = (manifest.get("metadata") or {}).get("namespace", namespace)
        return self.objects.create(kind, place, dict(manifest), as_is=True)

    def get(self, kind: Kind, name: str, *, namespace: str = "default") -> Manifest:
        return self.objects.get(kind, namespace, name)

    def find(self, kind: Kind, name: str, *, namespace: str = "default") -> Manifest | None:
        return self.objects.find(kind, namespace, name)

    def all(self, kind: Kind, *, namespace: str = "") -> list[Manifest]:
        return self.objects.all(kind, namespace)

    def set_status(
        self, kind: Kind, name: str, status: Mapping[str, Any], *, namespace: str = "default"
    ) -> Manifest:
        """Merge this into its status, as kubelet and controllers do."""
        return self.objects.merge_patch(kind, namespace, name, {"status": status}, "status")

    def replace_status(
        self, kind: Kind, name: str, status: Mapping[str, Any], *, namespace: str = "default"
    ) -> Manifest:
        return self.objects.replace(kind, namespace, name, {"status": dict(status)}, "status")

    def patch(
        self, kind: Kind, name: str, patch: Mapping[str, Any], *, namespace: str = "default"
    ) -> Manifest:
        """As a person's `kubectl patch --type=merge`."""
        return self.objects.merge_patch(kind, namespace, name, patch, manager="kubectl-patch")

    def delete(self, kind: Kind, name: str, *, namespace: str = "default") -> None:
        self.objects.delete(kind, namespace, name)

    def fail(self, times: int = 1, status: int | None = 500, **fits: Any) -> Fault:
        """The next calls that fit end so; see Fault."""
        fault = Fault(times, status, **fits)
        self.faults.append(fault)
        return fault

    def break_watches(self) -> None:
        """Cut every open watch in the middle."""
        for task in list(self._watches):
            task.cancel()

    def verbs(self) -> set[tuple[str, str]]:
        """Every (verb, resource) that was asked for: what a Role must allow."""
        return {(call.verb, call.resource) for call in self.calls}

    def counted(self) -> Counter[tuple[str, str]]:
        return Counter((call.verb, call.resource) for call in self.calls)

    # HTTP

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if (
            self.token is not None
            and request.headers.get("authorization") != f"Bearer {self.token}"
        ):
            return _answer(ApiError(401, "Unauthorized", "Unauthorized").document(), 401)
        pieces = request.path.strip("/").split("/")
        discovered = discovery(self.objects.kinds, pieces)
        if discovered is not None:
            return _answer(discovered)
        target = _target(self.objects.kinds, pieces)
        if target is None:
            return web.Response(text="404 page not found\n", status=404)
        verb = _verb(request, target)
        body = await _read(request)
        try:
            return await self._befallen(request, target, verb, body)
        except ApiError as error:
            self._note(request, target, verb, error.status, body)
            return _answer(error.document(), error.status)
        except _Lost:
            self._note(request, target, verb, 0, body)
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=500)

    async def _befallen(
        self, request: web.Request, target: _Target, verb: str, body: Any
    ) -> web.StreamResponse:
        fits = (fault for fault in self.faults if fault.fits(verb, target.resource, target.name))
        fault = next(fits, None)
        if fault is None:
            return await self._answer_to(request, target, verb, body)
        fault.seen += 1
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.done_first:
            await self._answer_to(request, target, verb, body)
        if fault.status is None:
            raise _Lost
        if fault.status < 400:
            return await self._answer_to(request, target, verb, body)
        self._note(request, target, verb, fault.status, body)
        refusal = ApiError(fault.status, "InternalError", "a fault that the test asked for")
        answer = _answer(refusal.document(), fault.status)
        if fault.retry_after is not None:
            answer.headers["Retry-After"] = str(fault.retry_after)
        return answer

    async def _answer_to(
        self, request: web.Request, target: _Target, verb: str, body: Any
    ) -> web.StreamResponse:
        if verb == "watch":
            self._note(request, target, verb, 200, None)
            watch = Watch(self.objects, target.kind, target.namespace, self.bookmark_seconds)
            return await self._watched(watch.run(request))
        if target.part == "log":
            self.objects.get(target.kind, target.namespace, target.name)
            text = self.logs.get((target.namespace, target.name), "")
            self._note(request, target, verb, 200, None)
            return web.Response(body=log_part(text, request.query))
        document, status = self._carry_out(request, target, verb, body)
        self._note(request, target, verb, status, body)
        return _answer(document, status)

    def _carry_out(
        self, request: web.Request, target: _Target, verb: str, body: Any
    ) -> tuple[Manifest, int]:
        kind, namespace, name, part = target.kind, target.namespace, target.name, target.part
        if part not in {None, "status"} or (part == "status" and not has_status(kind)):
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        match verb:
            case "get":
                return self.objects.get(kind, namespace, name), 200
            case "list":
                return self._page(target, request.query), 200
            case "create" if kind.plural == "tokenreviews":
                return self._review(body), 201
            case "create":
                return self.objects.create(kind, namespace, body), 201
            case "update":
                return self.objects.replace(kind, namespace, name, body, part), 200
            case "patch":
                return self._patched(request, target, body)
            case "delete":
                return self._deleted(target, body, request.query), 200
        raise ApiError(405, "MethodNotAllowed", f"{request.method} is not supported here")

    def _patched(self, request: web.Request, target: _Target, body: Any) -> tuple[Manifest, int]:
        at = (target.kind, target.namespace, target.name)
        match request.content_type:
            case "application/apply-patch+yaml":
                manifest, new = self.objects.apply(
                    *at,
                    body,
                    manager=request.query.get("fieldManager", ""),
                    force=request.query.get("force") == "true",
                    part=target.part,
                )
                return manifest, 201 if new else 200
            case "application/merge-patch+json":
                manager = request.query.get("fieldManager", "")
                return self.objects.merge_patch(*at, body, target.part, manager=manager), 200
            case "application/json-patch+json":
                return self.objects.json_patch(*at, body, target.part), 200
        raise ApiError(
            415, "UnsupportedMediaType", f"the body of type {request.content_type} is not supported"
        )

    def _deleted(self, target: _Target, body: Any, query: Mapping[str, str]) -> Manifest:
        options = body if isinstance(body, dict) else {}
        only = options.get("preconditions") or {}
        policy = query.get("propagationPolicy") or options.get("propagationPolicy")
        gone = self.objects.delete(
            target.kind,
            target.namespace,
            target.name,
            uid=only.get("uid"),
            version=only.get("resourceVersion"),
            orphan=policy == "Orphan",
        )
        if self.objects.find(target.kind, target.namespace, target.name) is not None:
            return gone
        details = {"name": target.name, "kind": target.kind.plural, "uid": gone["metadata"]["uid"]}
        return {"kind": "Status", "apiVersion": "v1", "status": "Success", "details": details}

    def _page(self, target: _Target, query: Mapping[str, str]) -> Manifest:
        chosen = selector(query)
        found = [one for one in self.objects.all(target.kind, target.namespace) if chosen(one)]
        metadata: Manifest = {"resourceVersion": str(self.objects.version)}
        token, limit = query.get("continue"), int(query.get("limit") or 0)
        if token:
            after = json.loads(base64.urlsafe_b64decode(token))
            if after["version"] < self.objects.oldest:
                raise ApiError(410, "Expired", "The provided continue parameter is too old")
            metadata["resourceVersion"] = str(after["version"])
            found = [one for one in found if list(_place(one)) > after["place"]]
        if limit and len(found) > limit:
            metadata["remainingItemCount"] = len(found) - limit
            found = found[:limit]
            mark = {"version": int(metadata["resourceVersion"]), "place": _place(found[-1])}
            metadata["continue"] = base64.urlsafe_b64encode(json.dumps(mark).encode()).decode()
        if not _CUSTOM.fullmatch(target.kind.api_version):
            found = [
                {key: value for key, value in one.items() if key not in {"apiVersion", "kind"}}
                for one in found
            ]
        return {
            "apiVersion": target.kind.api_version,
            "kind": f"{target.kind.name}List",
            "metadata": metadata,
            "items": found,
        }

    async def _watched(self, run: Coroutine[Any, Any, web.StreamResponse]) -> web.StreamResponse:
        """In a task of its own, so that a test can break it."""
        task = asyncio.ensure_future(run)
        self._watches.add(task)
        try:
            return await task
        finally:
            self._watches.discard(task)

    def _review(self, body: Any) -> Manifest:
        denied = {"authenticated": False, "error": "invalid bearer token"}
        token = body["spec"].get("token", "")
        status = self.token_reviews.get(token, denied)
        wanted = set(body["spec"].get("audiences") or ())
        if status.get("authenticated") and wanted and not wanted & set(status.get("audiences", ())):
            status = {"authenticated": False, "error": "token audiences do not match"}
        return {**body, "status": status}

    def _note(
        self, request: web.Request, target: _Target, verb: str, status: int, body: Any
    ) -> None:
        manager = request.query.get("fieldManager", "")
        call = Call(verb, target.resource, target.namespace, target.name, status, manager, body)
        self.calls.append(call)


def _target(kinds: tuple[Kind, ...], pieces: list[str]) -> _Target | None:
    """None for what is no resource of ours: the real server says "404 page not found"."""
    depth = {"api": 1, "apis": 2}.get(pieces[0])
    if depth is None or len(pieces) <= depth + 1:
        return None
    version, rest = "/".join(pieces[1 : depth + 1]), pieces[depth + 1 :]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    kind = next((one for one in kinds if (one.api_version, one.plural) == (version, rest[0])), None)
    if kind is None or len(rest) > 3:
        return None
    name, part = [*rest[1:], "", ""][:2]
    return _Target(kind, namespace, name, part or None)


def _verb(request: web.Request, target: _Target) -> str:
    if request.method == "GET" and not target.name:
        return "watch" if request.query.get("watch") in {"true", "1"} else "list"
    verbs = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
    return verbs.get(request.method, request.method.lower())


async def _read(request: web.Request) -> Any:
    raw = await request.read()
    if not raw:
        return None
    with contextlib.suppress(ValueError):
        return json.loads(raw)
    return yaml.safe_load(raw)


def _answer(document: Manifest, status: int = 200) -> web.Response:
    return web.json_response(document, status=status)


def _place(manifest: Manifest) -> tuple[str, str]:
    return manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"]
