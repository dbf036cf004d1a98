"""The platform's PostgreSQL: our own embedded server, or the one that DATABASE_URL names."""

import asyncio
from collections.abc import Callable

import structlog

from sentops_cli.home import Home
from sentops_cli.ports import Ports
from sentops_cli.processes import ProcessId
from sentops_cli.secrets_file import Secrets
from sentops_cli.state import ProgramPhase, ProgramState
from sentops_core.domain.errors import PlatformError
from sentops_core.store.embedded import EmbeddedPostgres
from sentops_core.store.migrate import migrate_url
from sentops_core.store.pool import open_connection
from sentops_core.store.users import Users

log = structlog.get_logger()

NAME = "postgres"
_EVERY = 2.0  # seconds between looks at the embedded server


class Database:
    """Owns the embedded server; an external one is only migrated."""

    def __init__(
        self,
        home: Home,
        ports: Ports,
        secrets: Secrets,
        changed: Callable[[], None],
        *,
        external_url: str | None = None,
    ) -> None:
        self._changed = changed
        self._external_url = external_url
        self._server = embedded(home, ports.postgres, secrets)
        self._keeper: asyncio.Task[None] | None = None
        self.state = ProgramState(name=NAME, port=ports.postgres, phase=ProgramPhase.STOPPED)

    @property
    def url(self) -> str:
        return self._external_url or self._server.url

    @property
    def embedded(self) -> bool:
        return self._external_url is None

    async def start(self) -> None:
        """Start or adopt the server, make the database and bring its schema up to date."""
        if self.embedded:
            self._set(ProgramPhase.STARTING)
            await asyncio.to_thread(self._server.start)
            await self._server.create_database()
        await migrate_url(self.url)
        if self.embedded:
            self._set(ProgramPhase.READY)
            self._keeper = asyncio.create_task(self._keep(), name="keep-postgres")

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self.embedded:
            self._set(ProgramPhase.STOPPING)
            await asyncio.to_thread(self._server.stop)
            self._set(ProgramPhase.STOPPED)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            if await asyncio.to_thread(self._server.is_running):
                continue
            self.state = self.state.model_copy(update={"restarts": self.state.restarts + 1})
            self._set(ProgramPhase.RESTARTING, "ended; starts again")
            try:
                await asyncio.to_thread(self._server.start)
            except PlatformError as error:
                log.warning("database_restart_failed", error=str(error))
                self._set(ProgramPhase.RESTARTING, str(error).splitlines()[0])
            else:
                self._set(ProgramPhase.READY)

    def _set(self, phase: ProgramPhase, message: str = "") -> None:
        self.state = self.state.model_copy(
            update={"phase": phase, "message": message, "process": server_process(self._server)}
        )
        self._changed()


def embedded(home: Home, port: int, secrets: Secrets) -> EmbeddedPostgres:
    return EmbeddedPostgres(home.postgres, port=port, password=secrets.database_password)


async def awaits_first_admin(url: str) -> bool:
    """Whether the back office will make its first account, or has made it and nobody has used it yet.

    The second is what a start leaves that ended before it could tell the password.
    """
    connection = await open_connection(url)
    try:
        accounts = await Users(connection).by_name()
        return all(one.name == "admin" and one.must_change_password for one in accounts)
    finally:
        await connection.close()


def server_process(server: EmbeddedPostgres) -> ProcessId | None:
    """The running server's process, from the pid file that it keeps itself."""
    if not server.is_running():
        return None
    try:
        first = (server.data_dir / "postmaster.pid").read_text().split("\n", 1)[0]
        return ProcessId.of(int(first))
    except (OSError, ValueError, PlatformError):
        return None
