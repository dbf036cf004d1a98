"""One open watch: what was there, what happened since, and bookmarks while nothing does."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from sentops_core.kube.kinds import Kind
from tests.support.kube_objects import ApiError, Change, KubeObjects, Manifest
from tests.support.kube_selectors import selector


@dataclass
class Watch:
    """Of one kind in one namespace ("": all); `run` lasts until the client's or the server's end of it."""

    objects: KubeObjects
    kind: Kind
    namespace: str
    bookmark_seconds: float

    async def run(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        changes: asyncio.Queue[Change] = asyncio.Queue()
        self.objects.listeners.append(changes.put_nowait)
        try:
            async with asyncio.timeout(float(request.query.get("timeoutSeconds") or 3600)):
                if await self._catch_up(request, response):
                    await self._follow(request, response, changes)
        except TimeoutError:
            pass
        except (asyncio.CancelledError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            self.objects.listeners.remove(changes.put_nowait)
        return response

    async def _catch_up(self, request: web.Request, response: web.StreamResponse) -> bool:
        """What the client has not seen; False when its version is too old to say."""
        chosen = selector(request.query)
        since = int(request.query.get("resourceVersion") or 0)
        if not since:
            for one in self.objects.all(self.kind, self.namespace):
                if chosen(one):
                    await _send(response, "ADDED", one)
            return True
        if since < self.objects.oldest:
            gone = ApiError(410, "Expired", f"too old resource version: {since}")
            await _send(response, "ERROR", gone.document())
            return False
        for change in [one for one in self.objects.history if one.version > since]:
            await self._tell(response, change, chosen)
        return True

    async def _follow(
        self, request: web.Request, response: web.StreamResponse, changes: asyncio.Queue[Change]
    ) -> None:
        chosen = selector(request.query)
        while True:
            change = None
            with contextlib.suppress(TimeoutError):
                change = await asyncio.wait_for(changes.get(), self.bookmark_seconds)
            if change is not None:
                await self._tell(response, change, chosen)
            elif request.query.get("allowWatchBookmarks") == "true":
                await _send(response, "BOOKMARK", self._bookmark())

    async def _tell(
        self, response: web.StreamResponse, change: Change, chosen: Callable[[Manifest], bool]
    ) -> None:
        """An object that a selector does not choose any more is deleted to this client."""
        metadata = change.object["metadata"]
        if change.kind != self.kind or self.namespace not in {"", metadata.get("namespace", "")}:
            return
        was = change.before is not None and chosen(change.before)
        is_ = chosen(change.object) and change.type != "DELETED"
        if is_:
            await _send(response, "MODIFIED" if was else "ADDED", change.object)
        elif was:
            await _send(response, "DELETED", change.object)

    def _bookmark(self) -> Manifest:
        metadata = {"resourceVersion": str(self.objects.version)}
        return {"apiVersion": self.kind.api_version, "kind": self.kind.name, "metadata": metadata}


async def _send(response: web.StreamResponse, event: str, document: Manifest) -> None:
    line = json.dumps({"type": event, "object": document})
    await response.write(line.encode() + b"\n")
