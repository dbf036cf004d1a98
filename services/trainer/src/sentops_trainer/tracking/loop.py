"""The mirror again and again, on its own: whatever MLflow does, nobody waits for it."""

import asyncio
from datetime import UTC, datetime

import structlog

from sentops_core.domain.errors import PlatformError
from sentops_core.store.mlflow_mirror import Kind, MlflowMirror
from sentops_core.store.pool import Pool, session
from sentops_trainer.metrics import MlflowFigures
from sentops_trainer.tracking.client import Mlflow
from sentops_trainer.tracking.files import Files
from sentops_trainer.tracking.mirror import Round, Setbacks
from sentops_trainer.tracking.rest import MlflowAway

log = structlog.get_logger()

_LONGEST_PAUSE = 60.0


class TrackingLoop:
    """Of several replicas one mirrors at a time; the others stand by. `pool` is the loop's own."""

    def __init__(
        self, pool: Pool, mlflow: Mlflow, figures: MlflowFigures, *, files: Files, seconds: float
    ) -> None:
        self._pool = pool
        self._mlflow = mlflow
        self._figures = figures
        self._files = files
        self._seconds = seconds
        self._setbacks: Setbacks = {}
        self._trouble = ""

    async def run(self) -> None:
        pause = self._seconds
        while True:
            try:
                await self.round()
            except MlflowAway as error:
                self._say_once(error.kind, str(error))
            except PlatformError as error:
                self._say_once(error.code, str(error))
            except Exception as error:
                if self._say_once("internal", repr(error)):
                    log.exception("mlflow_mirror_failed")
            else:
                self._say_once("", "")
            pause = min(pause * 2, _LONGEST_PAUSE) if self._trouble else self._seconds
            await asyncio.sleep(pause)

    async def round(self) -> None:
        async with session(self._pool) as connection:
            if not await MlflowMirror(connection).take_turn():
                self._figures.behind = None  # whoever mirrors counts
                return
            one = Round(connection, self._mlflow, self._files, self._setbacks)
            try:
                await one.go()
                self._figures.succeeded_at = datetime.now(UTC)
            finally:
                behind = await one.behind()
                self._figures.behind = {
                    kind.value: behind[kind] for kind in Kind if kind is not Kind.EXPERIMENT
                }

    def _say_once(self, kind: str, why: str) -> bool:
        """One line for each change, whether it is new."""
        if kind == self._trouble:
            return False
        self._trouble = kind
        if kind:
            log.warning("mlflow_mirror_waits", why=why)
        else:
            log.info("mlflow_mirror_goes_on")
        return True
