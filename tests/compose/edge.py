"""The real Caddy with our Caddyfile, its names and ports replaced by free ones of this machine; and what it leads to."""

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.compose.composition import FOLDER
from tests.support.postgres import a_free_port

CADDYFILE = FOLDER / "caddy/Caddyfile"
CADDY = Path(sys.executable).with_name("caddy")
BACKENDS = {"web": "web:8000", "backoffice": "backoffice:8001", "grafana": "grafana:3000"}
LOCAL = {"DOMAIN": "localhost", "ACME_OPTION": " "}


def caddy(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CADDY, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def adapted(**environment: str) -> dict[str, Any]:
    """What Caddy makes of the file, as JSON."""
    answer = caddy("adapt", "--config", CADDYFILE, "--adapter", "caddyfile", **environment)
    assert answer.returncode == 0, answer.stderr
    content: dict[str, Any] = json.loads(answer.stdout)
    return content


# ---- what is behind it


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        self.connections: list[socket.socket] = []
        super().__init__(*arguments)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.connections.append(connection)
        return connection, address

    def end(self) -> None:
        """As a program that ends: connections that are kept open end as well."""
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@dataclass
class Backend:
    """Says what it was asked. It can be away, and can hang up on a request."""

    name: str
    port: int = field(default_factory=a_free_port)
    asked: list[str] = field(default_factory=list)
    hang_up: bool = False
    _server: _Server | None = None

    def start(self) -> "Backend":
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("content-length", 0))
                body = self.rfile.read(length).decode()
                backend.asked.append(f"{self.command} {self.path}")
                if backend.hang_up:
                    self.close_connection = True
                    return
                seen = {
                    "program": backend.name,
                    "path": self.path,
                    "headers": {key.lower(): value for key, value in self.headers.items()},
                    "body": body,
                }
                answer = json.dumps(seen).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = answer  # noqa: N815 - the library's names

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = _Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.end()
            self._server = None


# ---- Caddy itself


@dataclass
class Edge:
    https: int
    http: int
    metrics: int
    storage: Path

    @property
    def url(self) -> str:
        return f"https://localhost:{self.https}"

    @property
    def certificates(self) -> Path:
        """Of its own authority."""
        return self.storage / "pki/authorities/local/root.crt"

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.certificates)


@contextmanager
def running(folder: Path, backends: dict[str, Backend]) -> Iterator[Edge]:
    edge = Edge(a_free_port(), a_free_port(), a_free_port(), folder / "storage")
    content = adapted(**LOCAL)
    text = json.dumps(content)
    for name, backend in backends.items():
        assert f'"{BACKENDS[name]}"' in text
        text = text.replace(f'"{BACKENDS[name]}"', f'"127.0.0.1:{backend.port}"')
    text = text.replace('":443"', f'"127.0.0.1:{edge.https}"')
    text = text.replace('":2020"', f'"127.0.0.1:{edge.metrics}"')
    content = json.loads(text)
    content["admin"]["listen"] = f"127.0.0.1:{a_free_port()}"
    content["storage"] = {"module": "file_system", "root": str(edge.storage)}
    content["apps"]["http"] |= {"http_port": edge.http, "https_port": edge.https}
    (folder / "caddy.json").write_text(json.dumps(content))
    with (folder / "caddy.log").open("wb") as log:
        process = subprocess.Popen(
            [CADDY, "run", "--config", folder / "caddy.json"],
            env={**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            yield edge
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
