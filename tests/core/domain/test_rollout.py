"""ModelVersion: it serves only when verified, and something good keeps serving whatever happens."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from sentops_core.domain.conditions import find_condition, is_true
from sentops_core.domain.reasons import Reason
from sentops_core.domain.resources import (
    AnalysisResult,
    Approval,
    CompletionStatus,
    DesiredState,
    ModelVersion,
    ModelVersionPhase,
    Verdict,
)
from sentops_core.domain.rollout import plan
from sentops_core.domain.serving import (
    DropCandidate,
    LoadCandidate,
    ReloadChampion,
    ReturnToPrevious,
    RouteCandidate,
    ServingObservation,
    Slot,
    SlotState,
    SwitchChampion,
    VersionPlan,
)
from sentops_core.domain.version_states import (
    hurried,
    recalled,
    rollback_target,
    rolled_back,
    settled,
)
from tests.support.builders import NOW, a_digest, a_model_version

Phase = ModelVersionPhase


def serving(digest: str) -> Slot:
    return Slot(SlotState.READY, digest=digest)


def refusing(digest: str, holding: str | None = None) -> Slot:
    return Slot(SlotState.FAILED, digest=holding, wanted_digest=digest, message="golden mismatch")


def after(
    version: ModelVersion, seen: ServingObservation, seconds: int = 0
) -> tuple[ModelVersion, VersionPlan]:
    step = plan(version, seen, now=NOW + timedelta(seconds=seconds))
    return version.model_copy(update={"status": step.status}), step


@dataclass
class World:
    """A model server and a router that do what they are told, or fail on request."""

    seen: ServingObservation = field(default_factory=lambda: ServingObservation(reachable=True))
    bad: set[str] = field(default_factory=set)

    def carry_out(self, version: ModelVersion, step: VersionPlan) -> None:
        digest, name = version.spec.artifact.digest, version.metadata.name
        for action in step.actions:
            match action:
                case LoadCandidate():
                    slot = refusing(digest) if digest in self.bad else serving(digest)
                    self.seen = replace(self.seen, candidate=slot)
                case SwitchChampion() if digest not in self.bad:
                    self.seen = replace(
                        self.seen,
                        champion=serving(digest),
                        candidate=Slot(),
                        previous_name=self.seen.champion_name,
                        champion_name=name,
                    )
                case ReloadChampion():
                    kept = self.seen.champion.digest
                    slot = refusing(digest, kept) if digest in self.bad else serving(digest)
                    self.seen = replace(self.seen, champion=slot)
                case DropCandidate():
                    self.seen = replace(self.seen, candidate=Slot())
                case _:
                    pass

    def settle(self, version: ModelVersion, start: int = 0, steps: int = 8) -> ModelVersion:
        for second in range(start, start + steps):
            version, step = after(version, self.seen, second)
            self.carry_out(version, step)
        return version


def a_live_world(number: int = 1) -> tuple[World, ModelVersion]:
    world = World()
    champion = world.settle(a_model_version(number, desired_state=DesiredState.CHAMPION))
    assert champion.status.phase is Phase.LIVE
    return world, champion


def test_a_wanted_version_is_verified_switched_to_and_live() -> None:
    _, champion = a_live_world()
    assert champion.status.served_digest == champion.spec.artifact.digest
    assert is_true(champion.status.conditions, "Ready")
    assert champion.status.completion_status is CompletionStatus.PROMOTED


def test_a_candidate_waits_for_a_word_and_an_approval_rolls_it_out() -> None:
    world, _ = a_live_world()
    candidate = world.settle(a_model_version(2))
    assert candidate.status.phase is Phase.PENDING
    spec = candidate.spec.model_copy(update={"approval": Approval(approved=True, by="ada")})
    assert world.settle(candidate.model_copy(update={"spec": spec})).status.phase is Phase.LIVE


def test_the_old_champion_is_superseded_and_stays_loadable() -> None:
    world, champion = a_live_world()
    newer = world.settle(a_model_version(2, desired_state=DesiredState.CHAMPION))
    assert newer.status.previous_version == "sentiment-v1"
    champion = world.settle(champion)
    assert champion.status.phase is Phase.ARCHIVED
    assert champion.status.completion_status is CompletionStatus.SUPERSEDED


def test_an_archived_version_comes_back_only_when_somebody_asks_for_it() -> None:
    world, champion = a_live_world()
    world.settle(a_model_version(2, desired_state=DesiredState.CHAMPION))
    archived = world.settle(champion)
    for state, phase in (
        (DesiredState.CANDIDATE, Phase.ARCHIVED),
        (DesiredState.CHAMPION, Phase.LIVE),
    ):
        spec = archived.spec.model_copy(update={"desired_state": state})
        metadata = archived.metadata.model_copy(
            update={"generation": archived.metadata.generation + 1}
        )
        archived = world.settle(
            archived.model_copy(update={"spec": spec, "metadata": metadata}), 100
        )
        assert archived.status.phase is phase


def test_a_bad_artefact_is_quarantined_and_never_routed_to() -> None:
    world, champion = a_live_world()
    bad = a_model_version(2, desired_state=DesiredState.CHAMPION)
    world.bad.add(bad.spec.artifact.digest)
    bad = world.settle(bad)
    assert bad.status.phase is Phase.QUARANTINED
    assert world.seen.champion_name == "sentiment-v1"
    assert world.settle(champion).status.phase is Phase.LIVE


def test_a_quarantined_version_is_not_tried_again() -> None:
    world, _ = a_live_world()
    bad = a_model_version(2, desired_state=DesiredState.CHAMPION)
    world.bad.add(bad.spec.artifact.digest)
    bad = world.settle(bad)
    touched = bad.model_copy(update={"metadata": bad.metadata.model_copy(update={"generation": 2})})
    assert world.settle(touched).status.phase is Phase.QUARANTINED


def test_only_one_version_rolls_out_at_a_time() -> None:
    seen = ServingObservation(reachable=True, champion_name="sentiment-v1", turn=False)
    version, step = after(a_model_version(2, desired_state=DesiredState.CHAMPION), seen)
    assert (version.status.phase, step.actions) == (Phase.PENDING, ())


def test_a_restarted_server_gets_its_champion_back() -> None:
    world, champion = a_live_world()
    world.seen = replace(world.seen, champion=Slot())
    champion, step = after(champion, world.seen)
    assert step.actions == (ReloadChampion(),)
    assert not is_true(champion.status.conditions, "Ready")
    world.carry_out(champion, step)
    assert is_true(world.settle(champion).status.conditions, "Ready")


def test_a_champion_that_rotted_on_disk_hands_over_to_the_previous_one() -> None:
    world, champion = a_live_world()
    digest = champion.spec.artifact.digest
    world.seen = replace(world.seen, champion=refusing(digest))
    champion, step = after(champion, world.seen)
    assert champion.status.phase is Phase.QUARANTINED
    assert [type(action) for action in step.actions] == [ReturnToPrevious]


def test_a_server_that_does_not_answer_in_time_ends_the_roll_out() -> None:
    version = a_model_version(2, desired_state="Champion", rollout={"progressDeadlineSeconds": 60})
    away = ServingObservation(reachable=False, champion_name="sentiment-v1")
    version, _ = after(version, away)
    version, step = after(version, away, 59)
    assert version.status.phase is Phase.VERIFYING
    version, step = after(version, away, 60)
    assert version.status.phase is Phase.QUARANTINED
    assert step.actions == (DropCandidate(),)


def a_canary(**rollout: object) -> ModelVersion:
    steps = [{"setWeight": 10}, {"pauseSeconds": 30}, {"setWeight": 50}, {"analysis": True}]
    fields = {"steps": steps, "progressDeadlineSeconds": 100, **rollout}
    return a_model_version(2, desired_state="Champion", rollout=fields)


def test_a_canary_walks_through_its_steps() -> None:
    world, _ = a_live_world()
    version = world.settle(a_canary(), steps=3)
    assert (version.status.phase, version.status.traffic_percent) == (Phase.CANARY, 10)
    version, step = after(version, world.seen, 40)
    assert version.status.traffic_percent == 50
    assert step.actions == (RouteCandidate(50),)
    world.seen = replace(world.seen, analysis=AnalysisResult(verdict=Verdict.PASS, reason="better"))
    assert world.settle(version, start=41).status.phase is Phase.LIVE


def test_a_canary_found_worse_is_taken_back() -> None:
    world, _ = a_live_world()
    version = world.settle(a_canary(steps=[{"setWeight": 10}, {"analysis": True}]), steps=3)
    verdict = AnalysisResult(verdict=Verdict.FAIL, reason="accuracy 0.5 against 0.8")
    version, step = after(version, replace(world.seen, analysis=verdict), 4)
    assert version.status.phase is Phase.QUARANTINED
    assert step.actions == (DropCandidate(),)


def test_too_few_votes_hold_a_canary_by_default_and_say_so() -> None:
    world, _ = a_live_world()
    version = world.settle(a_canary(steps=[{"setWeight": 10}, {"analysis": True}]), steps=3)
    unclear = AnalysisResult(verdict=Verdict.INCONCLUSIVE, reason="12 of 200 votes")
    world.seen = replace(world.seen, analysis=unclear)
    version, _ = after(version, world.seen, 200)
    assert version.status.phase is Phase.PAUSED
    paused, _ = after(version, world.seen, 300)
    assert paused.status == version.status, "a hold that lasts is written down once"


def test_a_shadow_gets_copies_before_it_gets_people() -> None:
    world, _ = a_live_world()
    version = world.settle(a_canary(shadowSeconds=60, steps=[]), steps=3)
    assert version.status.phase is Phase.SHADOW
    _, step = after(version, world.seen, 10)
    assert step.actions == (RouteCandidate(0, shadow=True),)
    assert world.settle(version, start=70).status.phase is Phase.LIVE


def test_a_rollback_recalls_the_last_good_version_without_a_canary() -> None:
    world, first = a_live_world()
    second = world.settle(a_model_version(2, desired_state=DesiredState.CHAMPION))
    first = world.settle(first)
    target = rollback_target([first, second], second.metadata.name)
    assert target is not None
    assert target.metadata.name == "sentiment-v1"
    status = rolled_back(second.status, "worse", reason=Reason.ROLLED_BACK, now=NOW)
    second = second.model_copy(update={"status": status})
    first = first.model_copy(update={"status": recalled(first.status, "recalled", now=NOW)})
    first = world.settle(first)
    assert first.status.phase is Phase.LIVE
    second = world.settle(second)
    assert second.status.phase is Phase.ROLLED_BACK, (
        "its spec still says Champion; that is not enough"
    )
    assert rollback_target([first, second], first.metadata.name) is None


def test_a_version_that_waits_for_a_word_is_not_looked_at_again() -> None:
    world, _ = a_live_world()
    fresh = a_model_version(2)
    assert not settled(fresh)
    waiting = world.settle(fresh)
    assert settled(waiting)
    spec = waiting.spec.model_copy(update={"approval": Approval(approved=True, by="ada")})
    assert not settled(waiting.model_copy(update={"spec": spec}))


def test_what_is_still_routed_to_is_served_though_its_predecessor_cannot_come_back() -> None:
    world, first = a_live_world()
    second = world.settle(a_model_version(2, desired_state=DesiredState.CHAMPION))
    first = world.settle(first)
    status = rolled_back(second.status, "worse", reason=Reason.ROLLED_BACK, now=NOW)
    second = second.model_copy(update={"status": status})
    first = first.model_copy(update={"status": recalled(first.status, "recalled", now=NOW)})
    world.bad.add(first.spec.artifact.digest)
    assert world.settle(first).status.phase is Phase.QUARANTINED
    assert world.seen.champion_name == "sentiment-v2"
    world.seen = replace(world.seen, champion=Slot())  # the model server was restarted
    second = world.settle(second)
    assert world.seen.champion.serves(second.spec.artifact.digest)
    assert second.status.phase is Phase.ROLLED_BACK


def test_a_champion_that_could_not_be_loaded_is_not_tried_for_ever() -> None:
    world, champion = a_live_world()
    digest = champion.spec.artifact.digest
    world.bad.add(digest)
    world.seen = replace(world.seen, champion=Slot())
    champion = world.settle(champion)
    assert champion.status.phase is Phase.QUARANTINED
    assert after(champion, world.seen)[1].actions == ()


def test_a_version_that_was_switched_to_is_live_whatever_its_canary_says_now() -> None:
    world, _ = a_live_world()
    version = world.settle(a_canary(onInconclusive="Promote"), steps=3)
    world.seen = replace(
        world.seen, analysis=AnalysisResult(verdict=Verdict.INCONCLUSIVE, reason="no votes")
    )
    version, _ = after(version, world.seen, 40)
    version, step = after(version, world.seen, 140)
    assert step.actions == (SwitchChampion(),)
    world.carry_out(version, step)
    version, step = after(version, world.seen, 141)
    assert (version.status.phase, step.actions) == (Phase.LIVE, ()), "nothing is loaded again"


def test_a_person_can_end_a_canary_on_hold_by_promoting_it() -> None:
    world, _ = a_live_world()
    version = world.settle(a_canary(steps=[{"setWeight": 10}, {"analysis": True}]), steps=3)
    version, _ = after(version, world.seen, 200)
    assert version.status.phase is Phase.PAUSED
    status = hurried(version, "Promoted by ada.", now=NOW)
    version = world.settle(version.model_copy(update={"status": status}), start=201)
    assert version.status.phase is Phase.LIVE
    healthy = find_condition(version.status.conditions, "CanaryHealthy")
    assert healthy is not None
    assert healthy.message == "Promoted by ada.", "nobody claims that its steps were passed"


def test_a_person_can_end_a_canary_on_hold_by_archiving_it() -> None:
    world, _ = a_live_world()
    version = world.settle(a_canary(steps=[{"setWeight": 10}, {"analysis": True}]), steps=3)
    version, _ = after(version, world.seen, 200)
    spec = version.spec.model_copy(update={"desired_state": DesiredState.ARCHIVED})
    version, step = after(version.model_copy(update={"spec": spec}), world.seen, 201)
    assert step.actions == (DropCandidate(),)
    assert world.settle(version).status.phase is Phase.ARCHIVED


def edited(version: ModelVersion, **spec: object) -> ModelVersion:
    """As after `kubectl edit`: another spec, another generation."""
    metadata = version.metadata.model_copy(update={"generation": version.metadata.generation + 1})
    return version.model_copy(
        update={"metadata": metadata, "spec": version.spec.model_copy(update=spec)}
    )


def test_archiving_the_champion_returns_to_the_version_before_it() -> None:
    world, first = a_live_world()
    second = world.settle(a_model_version(2, desired_state=DesiredState.CHAMPION))
    world.seen = replace(world.seen, return_to="sentiment-v1")
    second, step = after(edited(second, desired_state=DesiredState.ARCHIVED), world.seen)
    assert second.status.phase is Phase.ROLLED_BACK
    assert [type(action) for action in step.actions] == [ReturnToPrevious]
    first = world.settle(first)
    world.settle(first.model_copy(update={"status": recalled(first.status, "recalled", now=NOW)}))
    assert world.seen.champion_name == "sentiment-v1"
    assert world.settle(second).status.traffic_percent == 0


def test_archiving_the_only_version_leaves_it_serving_and_says_why() -> None:
    world, champion = a_live_world()
    champion, step = after(edited(champion, desired_state=DesiredState.ARCHIVED), world.seen)
    assert (champion.status.phase, step.actions) == (Phase.LIVE, ())
    ready = find_condition(champion.status.conditions, "Ready")
    assert ready is not None
    assert "no version served before it" in ready.message


def test_a_person_clears_a_quarantine_for_one_more_try() -> None:
    world, _ = a_live_world()
    bad = a_model_version(2, desired_state=DesiredState.CHAMPION)
    world.bad.add(bad.spec.artifact.digest)
    bad = world.settle(bad)
    word = Approval(approved=True, by="ada", reason="store repaired", clear_quarantine=True)
    again = world.settle(edited(bad, approval=word))
    assert again.status.phase is Phase.QUARANTINED, "still bad: one try, not for ever"
    world.bad.clear()
    assert world.settle(again).status.phase is Phase.QUARANTINED
    assert world.settle(edited(again, approval=word)).status.phase is Phase.LIVE


def test_a_person_passes_over_the_rest_of_a_canary() -> None:
    world, _ = a_live_world()
    version = world.settle(a_canary(), steps=3)
    assert version.status.phase is Phase.CANARY
    word = Approval(approved=True, by="ada", skip_steps=True)
    assert world.settle(edited(version, approval=word), start=3).status.phase is Phase.LIVE


def test_a_switch_that_hangs_leaves_the_champion_and_quarantines_the_newcomer() -> None:
    world, champion = a_live_world()
    version = a_model_version(2, desired_state="Champion", rollout={"progressDeadlineSeconds": 60})
    version, step = after(version, world.seen)
    world.carry_out(version, step)
    stuck = replace(world.seen, champion=replace(world.seen.champion, message="0 of 2 ready"))
    version, step = after(version, stuck, 5)
    assert step.actions == (SwitchChampion(),)
    version, step = after(version, stuck, 64)
    assert step.actions == (SwitchChampion(),)
    version, step = after(version, stuck, 65)
    assert version.status.phase is Phase.QUARANTINED
    assert step.actions == (DropCandidate(),)
    ready = find_condition(version.status.conditions, "Ready")
    assert ready is not None
    assert "0 of 2 ready" in ready.message
    assert world.settle(champion).status.phase is Phase.LIVE


slots = st.sampled_from(
    [
        Slot(),
        serving(a_digest("b")),
        serving(a_digest("c")),
        refusing(a_digest("c")),
        refusing(a_digest("c"), a_digest("b")),
        Slot(SlotState.LOADING, digest=a_digest("b")),
    ]
)
observations = st.builds(
    ServingObservation,
    reachable=st.booleans(),
    champion=slots,
    candidate=slots,
    champion_name=st.sampled_from([None, "sentiment-v1", "sentiment-v2"]),
    previous_name=st.sampled_from([None, "sentiment-v1"]),
    turn=st.booleans(),
    analysis=st.none()
    | st.builds(AnalysisResult, verdict=st.sampled_from(Verdict), reason=st.just("because")),
)


@settings(max_examples=400)
@given(
    seen=st.lists(observations, max_size=12),
    desired=st.sampled_from(DesiredState),
    canary=st.booleans(),
)
def test_any_order_of_events_keeps_the_rules(
    seen: list[ServingObservation], desired: DesiredState, canary: bool
) -> None:
    rollout = {"steps": [{"setWeight": 5}, {"analysis": True}]} if canary else {}
    version = a_model_version(2, desired_state=desired, rollout=rollout)
    digest = version.spec.artifact.digest
    for moment, observation in enumerate(seen):
        before = version.status
        version, step = after(version, observation, moment)
        if before.phase is Phase.QUARANTINED:
            assert version.status.phase is Phase.QUARANTINED
        if version.status.phase is Phase.LIVE and before.phase is not Phase.LIVE:
            assert observation.champion.serves(digest)
            assert observation.champion_name == "sentiment-v2"
        if is_true(version.status.conditions, "Ready"):
            assert version.status.served_digest == digest
        if any(isinstance(action, SwitchChampion) for action in step.actions):
            assert is_true(version.status.conditions, "ArtifactVerified"), (
                "verified before it serves"
            )
        if version.status.phase is before.phase:
            again, _ = after(version, observation, moment)
            assert again.status == version.status, "a step that goes nowhere changes nothing"
