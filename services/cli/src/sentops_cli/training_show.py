"""What trains now, on the screen of whoever looks; the verdict of what ended meanwhile."""

import asyncio
import contextlib

from sentops_cli.first_run import list_jobs
from sentops_cli.jobs import verdict_lines
from sentops_cli.outcome import CommandError
from sentops_cli.screen import Screen
from sentops_cli.services import Services

_EVERY = 1.0  # seconds


class TrainingShow:
    """Bars for what is active; a job that was active at the last look and is not any more gets its verdict told."""

    def __init__(self, services: Services, screen: Screen) -> None:
        self._services = services
        self._screen = screen
        self._followed: set[str] = set()

    async def look(self) -> None:
        jobs = await list_jobs(self._services)
        active = [job for job in jobs if not job.status.phase.final]
        for job in jobs:
            if job.status.phase.final and job.metadata.name in self._followed:
                for line in verdict_lines(job):
                    self._screen.say(line)
        self._followed = {job.metadata.name for job in active}
        self._screen.training(active)

    async def go_on(self) -> None:
        """Look again and again; never returns by itself."""
        while True:
            # The trainer may be restarting: whoever watches the programs says so.
            with contextlib.suppress(CommandError):
                await self.look()
            await asyncio.sleep(_EVERY)
