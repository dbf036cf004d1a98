"""An app started and stopped as by a server, in this process."""

from asgi_lifespan import LifespanManager
from starlette.types import ASGIApp


def started(app: ASGIApp) -> LifespanManager:
    """For `async with`; a busy machine takes its time, and only one that hangs is a failure."""
    return LifespanManager(app, startup_timeout=60, shutdown_timeout=60)
