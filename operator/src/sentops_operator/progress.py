"""How far each run is, as it posted last. In memory: what matters of it is saved with the job's status."""

import time

from sentops_core.domain.resources import TrainerStatus

# As Kubeflow Trainer's status server: a chatty client costs the API server nothing.
_SECONDS_BETWEEN_SAVES = 5.0


class ProgressBoard:
    def __init__(self) -> None:
        self._latest: dict[tuple[str, str], TrainerStatus] = {}
        self._told_at: dict[tuple[str, str], float] = {}

    def post(self, namespace: str, name: str, status: TrainerStatus) -> float:
        """Keep it; gives the seconds until it should be saved (0: now)."""
        place = (namespace, name)
        self._latest[place] = status
        now = time.monotonic()
        wait = self._told_at.get(place, float("-inf")) + _SECONDS_BETWEEN_SAVES - now
        if wait > 0:
            return wait
        self._told_at[place] = now
        return 0

    def latest(self, namespace: str, name: str) -> TrainerStatus | None:
        return self._latest.get((namespace, name))

    def forget(self, namespace: str, name: str) -> None:
        self._latest.pop((namespace, name), None)
        self._told_at.pop((namespace, name), None)
