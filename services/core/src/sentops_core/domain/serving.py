"""Serving as a roll-out sees it: what the model servers hold, and the steps a plan can ask for."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import AnalysisResult, ModelVersionStatus


class SlotState(StrEnum):
    EMPTY = "Empty"
    LOADING = "Loading"
    READY = "Ready"
    FAILED = "Failed"  # the digest that was asked for is refused; what served before still does


@dataclass(frozen=True)
class Slot:
    """A place of the model server: what it holds, and what it was last asked to hold."""

    state: SlotState = SlotState.EMPTY
    digest: str | None = None
    wanted_digest: str | None = None
    message: str = ""

    def serves(self, digest: str) -> bool:
        return self.state is not SlotState.EMPTY and self.digest == digest

    def refuses(self, digest: str) -> bool:
        return self.state is SlotState.FAILED and self.wanted_digest == digest


@dataclass(frozen=True)
class ServingObservation:
    """What a substrate sees of serving.

    `champion_name` is who is routed to, `return_to` who would serve if that one were taken back, `turn` whether
    no other version of this model is being rolled out.
    """

    reachable: bool
    champion: Slot = Slot()
    candidate: Slot = Slot()
    champion_name: str | None = None
    previous_name: str | None = None
    return_to: str | None = None
    turn: bool = True
    analysis: AnalysisResult | None = None


@dataclass(frozen=True)
class LoadCandidate:
    """Load, verify and hold beside the champion; no traffic yet."""


@dataclass(frozen=True)
class RouteCandidate:
    """Give the candidate this share of the traffic, or a silent copy of it."""

    weight: int
    shadow: bool = False


@dataclass(frozen=True)
class SwitchChampion:
    """Put this version into the champion's slot, then route everything to it."""


@dataclass(frozen=True)
class ReloadChampion:
    """Same routing; the server lost what it should hold (it was restarted)."""


@dataclass(frozen=True)
class DropCandidate:
    """Route everything to the champion and free the candidate's slot."""


@dataclass(frozen=True)
class ReturnToPrevious:
    """This champion cannot or shall not serve: let the previous one be rolled out again."""

    reason: Reason
    message: str


VersionAction: TypeAlias = (
    LoadCandidate
    | RouteCandidate
    | SwitchChampion
    | ReloadChampion
    | DropCandidate
    | ReturnToPrevious
)


@dataclass(frozen=True)
class VersionPlan:
    status: ModelVersionStatus
    actions: tuple[VersionAction, ...] = ()
