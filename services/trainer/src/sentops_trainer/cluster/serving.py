"""Who serves a model, by what its versions' statuses say."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sentops_core.domain.conditions import is_true
from sentops_core.domain.resources import ModelVersion, Variant
from sentops_core.domain.resources import ModelVersionPhase as Phase
from sentops_core.domain.version_states import in_flight
from sentops_core.store.routing import RoutingRow
from sentops_trainer.cluster.names import servers_url
from sentops_trainer.variants import variant_of

_BESIDE = {Phase.SHADOW, Phase.CANARY, Phase.PAUSED}


@dataclass(frozen=True)
class Serving:
    champion: ModelVersion | None
    candidate: ModelVersion | None


@dataclass(frozen=True)
class Route:
    """What the routing table is to say."""

    variants: tuple[Variant, ...]
    champion: str | None
    previous_champion: str | None


def who_serves(versions: Sequence[ModelVersion]) -> Serving:
    """Of one model. While a roll-out ends, two call themselves live: the one that became so last is."""
    live = [version for version in versions if version.status.phase is Phase.LIVE]
    still = [
        version
        for version in versions
        if version.status.served_digest is not None
        and version.status.traffic_percent == 100
        and version.status.phase not in _BESIDE
    ]
    champion = max(live or still, key=_since, default=None)
    beside = [
        version
        for version in versions
        if version.status.phase in _BESIDE and version is not champion
    ]
    return Serving(champion, max(beside, key=_since, default=None))


def returned_to(name: str, versions: Sequence[ModelVersion]) -> str | None:
    """Who was asked to serve instead of this former champion; None while that cannot be told."""
    asked = [
        version
        for version in versions
        if version.metadata.name != name
        and (
            version.status.phase is Phase.LIVE
            or in_flight(version)
            or (
                version.status.phase is Phase.PENDING
                and is_true(version.status.conditions, "Promoted")
            )
        )
    ]
    last = max(asked, key=_since, default=None)
    return last.metadata.name if last is not None else None


def route(versions: Sequence[ModelVersion], before: RoutingRow, namespace: str) -> Route:
    """The routing that follows; where no champion can be told, who was routed to goes on."""
    serving = who_serves(versions)
    champion = serving.champion
    if champion is None:
        kept = [one for one in before.routing.variants if one.name == "champion"]
        alone = tuple(one.model_copy(update={"weight": 100}) for one in kept)
        return Route(alone, before.champion, before.previous_champion)
    name, model_name = champion.metadata.name, champion.spec.model_name
    previous = before.previous_champion if before.champion == name else before.champion
    candidate = serving.candidate
    weight = candidate.status.traffic_percent if candidate is not None else 0
    url = servers_url(model_name, namespace, "champion")
    variants = [variant_of(champion, "champion", url, 100 - weight)]
    if candidate is not None:
        url, shadow = (
            servers_url(model_name, namespace, "candidate"),
            candidate.status.phase is Phase.SHADOW,
        )
        variants.append(variant_of(candidate, "candidate", url, weight, shadow=shadow))
    return Route(tuple(variants), name, previous)


def _since(version: ModelVersion) -> tuple[datetime, int]:
    started = version.status.phase_started_at or datetime.min.replace(tzinfo=UTC)
    return started, version.spec.version
