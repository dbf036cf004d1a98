"""Web as users run it: its own PostgreSQL, a model server, a routing that names it, and programs as processes."""

import asyncio
import secrets
import socket
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from aiohttp import web

from benchmarks.support.machine import pinned
from benchmarks.support.servers import RunningServer, ServerKind, our_server, running
from benchmarks.support.trained import ModelUnderTest
from sentops_core.domain.resources import Routing, Variant
from sentops_core.store.embedded import EmbeddedPostgres
from sentops_core.store.migrate import migrate_url

_COUNT = "SELECT count(*) FROM predictions"
_POLL_SECONDS = 0.1
_SPOOL_IS_EMPTY = "SELECT NOT EXISTS (SELECT 1 FROM entries)"
# One client of the benchmark asks more than any person may.
_NO_LIMITS = {"SENTOPS_WEB_BURST_TEXTS": "100000000", "SENTOPS_WEB_TEXTS_PER_SECOND": "1000000"}


@dataclass
class Line:
    """The way from web to PostgreSQL: `delay` slows each packet (seconds), `cut` ends every connection."""

    delay: float = 0.0
    cut: bool = False
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def break_off(self) -> None:
        self.cut = True
        for writer in self.writers:
            writer.transport.abort()


@dataclass(frozen=True)
class Stack:
    web: RunningServer
    model: RunningServer
    postgres_pid: int
    line: Line
    database_url: str
    spool: Path

    async def rows(self) -> int:
        """In PostgreSQL, counted by PostgreSQL."""
        connection = await asyncpg.connect(self.database_url)
        try:
            count: int = await connection.fetchval(_COUNT)
        finally:
            await connection.close()
        return count

    async def until_drained(self, *, most_seconds: float = 60) -> None:
        """Waits until web's spool is empty; looks into its file, so that asking is nobody's work."""
        deadline = time.monotonic() + most_seconds
        address = f"file:{self.spool / 'spool.sqlite3'}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as reader:
            while time.monotonic() < deadline:
                if reader.execute(_SPOOL_IS_EMPTY).fetchone()[0]:
                    return
                await asyncio.sleep(_POLL_SECONDS)


@asynccontextmanager
async def stack(
    model: ModelUnderTest, cores: list[int], model_settings: dict[str, str]
) -> AsyncIterator[Stack]:
    with _open_folder() as folder:
        server = EmbeddedPostgres(folder / "postgres", port=_free_port(), password=uuid.uuid4().hex)
        with pinned(cores):
            await asyncio.to_thread(server.start)
        try:
            await server.create_database()
            await migrate_url(server.url)
            line, spool = Line(), folder / "spool"
            async with (
                running(our_server(model, model_settings), cores) as scoring,
                _routing_to(scoring.url, model) as trainer_url,
                _line_to(server.url, line) as database_url,
                running(_web(database_url, trainer_url, spool), cores) as asked,
            ):
                yield Stack(asked, scoring, _postmaster(server), line, server.url, spool)
        finally:
            await asyncio.to_thread(server.remove)


@contextmanager
def _open_folder() -> Iterator[Path]:
    """Readable by all, since PostgreSQL does not run as root."""
    with tempfile.TemporaryDirectory(prefix="bench-web-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def _web(database_url: str, trainer_url: str, spool: Path) -> ServerKind:
    def start(port: int, _: Path) -> tuple[list[str], dict[str, str]]:
        environment = {
            "SENTOPS_WEB_PORT": str(port),
            "SENTOPS_WEB_DATABASE_URL": database_url,
            "SENTOPS_WEB_TRAINER_URL": trainer_url,
            "SENTOPS_WEB_SIGNING_KEY": secrets.token_hex(32),
            "SENTOPS_WEB_SPOOL_DIR": str(spool),
            "SENTOPS_WEB_LOG_LEVEL": "WARNING",
        }
        return [sys.executable, "-m", "sentops_web"], environment | _NO_LIMITS

    return ServerKind("web", start, takes_batches=False)


@asynccontextmanager
async def _routing_to(model_url: str, model: ModelUnderTest) -> AsyncIterator[str]:
    """What web asks of the trainer each second, answered as the trainer does."""
    champion = Variant(
        name="champion",
        url=model_url,
        model_version="bench-web-v1",
        digest=model.digest,
        weight=100,
    )
    document = Routing(revision=1, variants=(champion,)).to_document()

    async def routing(request: web.Request) -> web.Response:
        if request.headers.get("if-none-match") == '"1"':
            return web.Response(status=304, headers={"etag": '"1"'})
        return web.json_response(document, headers={"etag": '"1"'})

    app = web.Application()
    app.router.add_get("/routing", routing)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        port = _free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _line_to(url: str, line: Line) -> AsyncIterator[str]:
    """The same database at the end of a line that can be slow or cut."""
    parts = urlsplit(url)

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if line.cut:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", parts.port)
        ends = {writer, far_writer}
        line.writers |= ends
        try:
            await asyncio.gather(
                _pass_on(reader, far_writer, line), _pass_on(far_reader, writer, line)
            )
        finally:
            line.writers -= ends
            for end in ends:
                end.transport.abort()

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{port}")))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Line) -> None:
    with suppress(ConnectionError):
        while content := await reader.read(262_144):
            if line.delay:
                await asyncio.sleep(line.delay)
            writer.write(content)
            await writer.drain()
    writer.close()


def _postmaster(server: EmbeddedPostgres) -> int:
    return int((server.data_dir / "postmaster.pid").read_text().splitlines()[0])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
