"""Run an app with uvicorn; a port that is taken is one clear line and exit code 1."""

import errno
import socket
import sys

import uvicorn
from fastapi import FastAPI

from sentops_core.settings import ServiceSettings


def bind(host: str, port: int) -> socket.socket:
    """A listening-ready TCP socket; OSError says why not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, port))
    return bound


def serve(app: FastAPI, settings: ServiceSettings, *, port_setting: str) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in flight get 20 seconds to finish."""
    try:
        bound = bind(settings.host, settings.port)
    except OSError as error:
        why = (
            "is already in use"
            if error.errno == errno.EADDRINUSE
            else f"cannot be used ({error.strerror})"
        )
        sys.exit(
            f"Port {settings.port} on {settings.host} {why}; set {port_setting} to another one."
        )
    config = uvicorn.Config(
        app,
        log_config=None,
        proxy_headers=True,
        forwarded_allow_ips=settings.forwarded_allow_ips,
        server_header=False,
        access_log=False,  # the request metrics count them
        ws="none",
        timeout_graceful_shutdown=20,
    )
    uvicorn.Server(config).run(sockets=[bound])
