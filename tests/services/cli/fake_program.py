"""A program as the supervisor knows them, started as a real process: two health addresses and a way to misbehave.

Argument: port. Environment: FAKE_EXIT (end at once with this code), FAKE_DEAF (ignore SIGTERM),
FAKE_NOT_READY (a sentence), FAKE_STOPS (file that gets the name at SIGTERM), FAKE_NAME.
"""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        missing = os.environ.get("FAKE_NOT_READY")
        if self.path == "/crash":
            os._exit(7)
        if self.path == "/health/ready" and missing:
            self.answer(503, {"status": "unavailable", "detail": missing})
        else:
            self.answer(200, {"status": "ok"})

    def answer(self, status: int, body: dict[str, str]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return None


def on_sigterm(*_: object) -> None:
    stops = os.environ.get("FAKE_STOPS")
    if stops:
        with Path(stops).open("a") as file:
            file.write(os.environ["FAKE_NAME"] + "\n")
    sys.exit(0)


def main() -> None:
    sys.stdout.write('{"event": "fake_started", "level": "info"}\n')
    sys.stdout.flush()
    if "FAKE_EXIT" in os.environ:
        sys.exit(f"Port {sys.argv[1]} is already in use; set FAKE_PORT to another one.")
    signal.signal(signal.SIGTERM, signal.SIG_IGN if "FAKE_DEAF" in os.environ else on_sigterm)
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Health).serve_forever()


if __name__ == "__main__":
    main()
