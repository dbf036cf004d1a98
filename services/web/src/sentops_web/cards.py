"""What may be told to anybody about a model version that answers, or answered, people."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from sentops_core.domain.errors import NotFound, Unavailable
from sentops_core.domain.evaluation import Evaluation
from sentops_core.domain.fast_path import FastPathReport
from sentops_core.domain.resources import ModelVersionPhase, Routing
from sentops_core.domain.resources.gate import GateMetricResult
from sentops_core.store.pool import Pool, transaction
from sentops_core.store.version_cards import VersionFacts, version_facts
from sentops_web.routing import RoutingClient

_PATIENCE_SECONDS = 3
_NAMED = "named://"  # models of our own list; another address can tell where somebody keeps what
# Nobody outside has had an answer of these.
_UNSEEN = {ModelVersionPhase.PENDING, ModelVersionPhase.VERIFYING, ModelVersionPhase.SHADOW}
_METRICS: TypeAdapter[list[GateMetricResult]] = TypeAdapter(list[GateMetricResult])


@dataclass(frozen=True)
class Card:
    """`share` is how many of 100 visitors it answers now. What nobody knows is None or empty."""

    name: str
    share: int
    on_trial: bool = False
    created_at: datetime | None = None
    labels: tuple[str, ...] = ()
    method: str | None = None
    base_model: str | None = None
    rows_train: int | None = None
    label_counts: dict[str, int] | None = None
    languages: tuple[str, ...] = ()
    evaluation: Evaluation | None = None
    against_before: GateMetricResult | None = None
    fast_path: FastPathReport | None = None


class Cards:
    def __init__(self, pool: Pool, routing: RoutingClient) -> None:
        self._pool = pool
        self._routing = routing

    async def card(self, name: str) -> Card:
        """NotFound for versions that answered nobody; Unavailable while the database is away."""
        share = share_of(self._routing.current, name)
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS), transaction(self._pool) as connection:
                facts = await version_facts(connection, name)
        except TimeoutError as error:
            raise Unavailable("The database does not answer just now; try again soon.") from error
        if share is None and (facts is None or facts.phase in _UNSEEN):
            raise NotFound("There is no such model version, or it has not answered anybody yet.")
        tried = any(
            one.model_version == name and one.name == "candidate"
            for one in self._routing.current.variants
        )
        if facts is None:
            return Card(name, share or 0, tried)
        return _card(facts, share or 0, on_trial=tried)


def share_of(routing: Routing, name: str) -> int | None:
    """How many of 100 visitors the version answers; None when it is not asked at all."""
    weights = [
        one.weight for one in routing.variants if one.model_version == name and not one.shadow
    ]
    return sum(weights) if weights else None


def _card(facts: VersionFacts, share: int, *, on_trial: bool) -> Card:
    base = facts.base_model or ""
    counts = sorted((facts.languages or {}).items(), key=lambda pair: -pair[1])
    return Card(
        name=facts.name,
        share=share,
        on_trial=on_trial,
        created_at=facts.created_at,
        labels=tuple(facts.labels or ()),
        method=facts.method,
        base_model=base.removeprefix(_NAMED) if base.startswith(_NAMED) else None,
        rows_train=facts.rows_train,
        label_counts=facts.label_counts,
        languages=tuple(code for code, rows in counts if code and rows),
        evaluation=_evaluation(facts),
        against_before=_against_before(facts),
        fast_path=_fast_path(facts),
    )


def _evaluation(facts: VersionFacts) -> Evaluation | None:
    """A newer program's, which we cannot read, is as good as none."""
    try:
        return Evaluation.model_validate(facts.evaluation)
    except ValidationError:
        return None


def _fast_path(facts: VersionFacts) -> FastPathReport | None:
    """Only where it serves."""
    try:
        found = FastPathReport.model_validate(facts.fast_path)
    except ValidationError:
        return None
    return found if found.used else None


def _against_before(facts: VersionFacts) -> GateMetricResult | None:
    try:
        found = _METRICS.validate_python(facts.gate_metrics or [])
    except ValidationError:
        return None
    return next((one for one in found if one.name == "macro_f1" and one.difference), None)
