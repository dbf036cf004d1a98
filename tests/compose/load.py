"""A little traffic through the edge, all the time: who asks, what was acknowledged, and what failed when."""

import ssl
import threading
from collections import Counter
from dataclasses import dataclass
from uuid import UUID

import httpx

_EVERY_SECONDS = 0.15
_PATIENCE_SECONDS = 60  # more than the edge has
_VOTE_ON_EACH = 3


@dataclass(frozen=True)
class Failure:
    phase: str
    path: str
    what: str


class Load(threading.Thread):
    """`phase` is said by the test: what is done to the platform meanwhile."""

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        super().__init__(daemon=True)
        self.phase = "calm"
        self.predictions: set[UUID] = set()
        self.votes: dict[UUID, str] = {}
        self.failures: list[Failure] = []
        self.answered: Counter[str] = Counter()
        self._url, self._context = url, context
        self._end = threading.Event()
        self._number = 0

    def run(self) -> None:
        with httpx.Client(
            base_url=self._url,
            verify=self._context,
            trust_env=False,
            timeout=_PATIENCE_SECONDS,
        ) as client:
            while not self._end.wait(_EVERY_SECONDS):
                self._ask(client)

    def stop(self) -> None:
        self._end.set()
        self.join(2 * _PATIENCE_SECONDS)
        assert not self.is_alive()

    def failed_in(self, phase: str) -> list[Failure]:
        return [one for one in self.failures if one.phase == phase]

    def _ask(self, client: httpx.Client) -> None:
        self._number += 1
        body = {"text": f"lovely product number {self._number}"}
        answer = self._post(client, "/api/predict", body)
        if answer is None:
            return
        asked = answer["prediction_id"]
        identity = UUID(hex=asked.split("-")[0])
        self.predictions.add(identity)
        if self._number % _VOTE_ON_EACH == 0:
            label = ("negative", "neutral", "positive")[self._number % 9 // 3]
            vote = {"prediction_id": asked, "feedback": label}
            if self._post(client, "/api/feedback", vote) is not None:
                self.votes[identity] = label

    def _post(self, client: httpx.Client, path: str, body: dict[str, str]) -> dict[str, str] | None:
        phase = self.phase
        headers = {"x-client-id": f"load-client-{self._number % 7}"}
        try:
            answer = client.post(path, json=body, headers=headers)
        except httpx.TransportError as error:
            self.failures.append(Failure(phase, path, repr(error)))
            return None
        if answer.is_error:
            self.failures.append(Failure(phase, path, f"{answer.status_code} {answer.text[:300]}"))
            return None
        self.answered[phase] += 1
        content: dict[str, str] = answer.json()
        return content
