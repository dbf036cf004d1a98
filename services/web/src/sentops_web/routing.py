"""Who answers whom: the trainer's routing, kept when the trainer is away, and the split by client."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import structlog
from pydantic import ValidationError

from sentops_core.domain.errors import Unavailable
from sentops_core.domain.resources import DEFAULT_LABELS, Routing, Variant

log = structlog.get_logger()

_BUCKETS = 100


class NoModel(Unavailable):
    """Nothing is live yet."""

    code = "no_model"
    retry_after = timedelta(seconds=10)


def bucket_of(client: str, salt: str) -> int:
    """0 to 99, evenly spread over clients and always the same for one client and salt."""
    digest = hashlib.sha256(f"{salt}\0{client}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % _BUCKETS


@dataclass(frozen=True)
class Choice:
    """Who answers, who answers instead if that fails, and who answers in silence."""

    first: Variant
    fallback: Variant | None
    shadows: tuple[Variant, ...]


def choose(routing: Routing, client: str) -> Choice:
    """A candidate of weight 5 answers the clients in buckets 0 to 4; raising it only adds clients.

    The salt is the candidate's digest, so that each candidate is tried on other people.
    """
    answering = [variant for variant in routing.variants if not variant.shadow]
    champion = next((one for one in answering if one.name == "champion"), None)
    candidate = next((one for one in answering if one.name == "candidate"), None)
    first = champion or candidate
    if first is None:
        raise NoModel(
            "There is no model yet; answers start as soon as the first one is trained. "
            "See /api/status for whether one is, and how far it is."
        )
    if champion and candidate and bucket_of(client, candidate.digest) < candidate.weight:
        first = candidate
    shadows = tuple(variant for variant in routing.variants if variant.shadow)
    return Choice(first, champion if first is not champion else None, shadows)


def adds_up(routing: Routing) -> bool:
    weights = [variant.weight for variant in routing.variants if not variant.shadow]
    return not weights or sum(weights) == _BUCKETS


class RoutingClient:
    """Asks the trainer again and again; `current` is its last good answer, also after a restart."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        trainer_url: str,
        memory: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._url = f"{trainer_url.rstrip('/')}/routing"
        self._memory = memory
        self._clock = clock
        self._etag: str | None = None
        self._confirmed_at: float | None = None
        self._labels: tuple[str, ...] = ()
        self.current = _remembered(memory)
        self.reachable = False

    @property
    def age_seconds(self) -> float | None:
        """Since the trainer last confirmed what we use; None when it never did in this process."""
        return None if self._confirmed_at is None else self._clock() - self._confirmed_at

    @property
    def labels(self) -> tuple[str, ...]:
        """What a text can be called: as the serving model last answered, before that the default."""
        return self._labels or DEFAULT_LABELS

    def learn_labels(self, labels: tuple[str, ...]) -> None:
        self._labels = labels

    def choose(self, client: str) -> Choice:
        return choose(self.current, client)

    async def keep_current(self, every: timedelta) -> None:
        """Runs until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(every.total_seconds())

    async def refresh(self) -> None:
        """Ask once; any failure leaves what we have in force."""
        headers = {"if-none-match": self._etag} if self._etag else {}
        try:
            answer = await self._http.get(self._url, headers=headers, timeout=5)
            if answer.status_code != httpx.codes.NOT_MODIFIED:
                self._take(answer.raise_for_status())
        except (httpx.HTTPError, ValidationError, ValueError) as error:
            if self.reachable:
                log.warning("routing_unavailable", error=type(error).__name__, url=self._url)
            self.reachable = False
            return
        if not self.reachable:
            log.info("routing_reachable", revision=self.current.revision)
        self.reachable = True
        self._confirmed_at = self._clock()

    def _take(self, answer: httpx.Response) -> None:
        routing = Routing.model_validate_json(answer.content)
        if not adds_up(routing):
            raise ValueError(f"weights of routing revision {routing.revision} do not add up to 100")
        if routing != self.current:
            _remember(self._memory, routing)
            log.info(
                "routing_changed",
                revision=routing.revision,
                variants={one.name: one.model_version for one in routing.variants},
            )
        self.current = routing
        self._etag = answer.headers.get("etag")


def _remembered(memory: Path) -> Routing:
    try:
        return Routing.model_validate_json(memory.read_bytes())
    except (FileNotFoundError, ValidationError):
        return Routing(revision=0)


def _remember(memory: Path, routing: Routing) -> None:
    """Keep it for the next start; a full disk costs only that."""
    fresh = memory.with_suffix(".new")
    try:
        fresh.write_text(routing.model_dump_json(by_alias=True))
        fresh.replace(memory)
    except OSError as error:
        log.warning("routing_not_remembered", error=str(error))
