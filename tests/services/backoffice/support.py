"""A running backoffice on a database of its own, a trainer that writes down what it is asked, and a browser."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import SecretStr

from sentops_backoffice.app import create_backoffice
from sentops_backoffice.settings import Settings
from sentops_core.http.serve import bind
from tests.support.eventually import eventually
from tests.support.lifespan import started

TOKEN = "backoffice-token"
TRAINER_TOKEN = "trainer-token"
FIRST_PASSWORD = "the first password"
PASSWORD = "a password of my own"
XSS = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@dataclass
class RecordingTrainer:
    """Answers like the trainer's API, over a real socket."""

    asked: list[tuple[str, object, str | None]] = field(default_factory=list)
    refuse: tuple[int, str] | None = None
    url: str = ""

    async def answer(self, request: Request) -> JSONResponse:
        if request.headers.get("authorization") != f"Bearer {TRAINER_TOKEN}":
            return JSONResponse({"detail": "who are you?"}, 401)
        body = await request.json() if await request.body() else None
        self.asked.append((request.url.path, body, request.headers.get("x-sentops-actor")))
        if self.refuse:
            status, detail = self.refuse
            return JSONResponse({"code": "x", "detail": detail}, status)
        return JSONResponse({"name": "a-job", "status_url": "/training-jobs/a-job"}, 202)


@asynccontextmanager
async def a_trainer() -> AsyncIterator[RecordingTrainer]:
    import asyncio

    trainer = RecordingTrainer()
    app = FastAPI()
    app.add_api_route("/{path:path}", trainer.answer, methods=["GET", "POST", "PUT", "DELETE"])
    socket = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve(sockets=[socket]))
    await eventually(lambda: server.started)
    trainer.url = f"http://127.0.0.1:{socket.getsockname()[1]}"
    try:
        yield trainer
    finally:
        server.should_exit = True
        await task


@dataclass
class Backoffice:
    app: object
    store: Path

    def client(self, base_url: str = "http://127.0.0.1:8001") -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=base_url)  # type: ignore[arg-type]

    def api(self, token: str = TOKEN) -> httpx.AsyncClient:
        client = self.client()
        client.headers["authorization"] = f"Bearer {token}"
        return client


@asynccontextmanager
async def a_backoffice(
    database_url: str, folder: Path, trainer_url: str, **settings: object
) -> AsyncIterator[Backoffice]:
    store_uri = str(settings.pop("store_uri", (folder / "store").as_uri()))
    app = create_backoffice(
        Settings(
            database_url=SecretStr(database_url),
            trainer_url=trainer_url,
            trainer_token=SecretStr(TRAINER_TOKEN),
            store_uri=store_uri,
            api_token=SecretStr(TOKEN),
            first_admin_password=SecretStr(FIRST_PASSWORD),
            **settings,  # type: ignore[arg-type]
        )
    )
    async with started(app) as manager:
        yield Backoffice(manager.app, folder / "store")


def field_of(page: str, name: str) -> str:
    found = re.search(f'name="{name}" value="([^"]*)"', page)
    assert found, page
    return found[1]


@dataclass
class Browser:
    """Keeps cookies, and sends forms with the CSRF field of the page they are on."""

    client: httpx.AsyncClient

    async def log_in(
        self, name: str, password: str, next_page: str = "/backoffice/index"
    ) -> httpx.Response:
        page = await self.client.get("/backoffice/login", params={"next": next_page})
        form = {"csrf": field_of(page.text, "csrf"), "next": field_of(page.text, "next")}
        return await self.client.post(
            "/backoffice/login", data=form | {"name": name, "password": password}
        )

    async def csrf(self) -> str:
        return field_of((await self.client.get("/backoffice/password")).text, "csrf")

    async def send(self, path: str, **fields: str) -> httpx.Response:
        return await self.client.post(path, data={"csrf": await self.csrf(), **fields})

    async def choose_password(self, current: str, new: str) -> httpx.Response:
        return await self.send("/backoffice/password", current=current, new=new, again=new)


OpenBrowser = Callable[[], Browser]


def labelled_csv(count: int = 100, extra: str = "") -> bytes:
    from tests.support.candidates import some_candidates

    rows = "".join(f"{one.text},{one.label}\n" for one in some_candidates(count))
    return f"text,label\n{rows}{extra}".encode()
