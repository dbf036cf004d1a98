"""What a version holds, decided without any database."""

from dataclasses import replace
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentops_core.datasets.draft import FEEDBACK, Candidate, Draft, Member, draft_version
from sentops_core.datasets.report import Refusal
from sentops_core.datasets.split import HELD_OUT_SHARE, Split, side_of
from sentops_core.domain.errors import InvalidInput
from sentops_core.domain.text import content_hash
from tests.support.candidates import some_candidates

LABELS = ("negative", "neutral", "positive")


def draft(
    parent: tuple[Member, ...] = (),
    candidates: list[Candidate] | None = None,
    *,
    salt: str = "test",
    labels: tuple[str, ...] | None = None,
) -> Draft:
    return draft_version(
        parent,
        some_candidates() if candidates is None else candidates,
        labels=labels,
        salt=salt,
        detect_language=lambda _: "it",
    )


def sides(of: Draft) -> dict[bytes, Split]:
    return {member.content_hash: member.split for member in of.members}


def test_about_a_fifth_is_held_out() -> None:
    held_out = len(draft(candidates=some_candidates(1000)).side(Split.HOLDOUT))
    assert 150 < held_out < 250


@given(st.binary(min_size=32, max_size=32), st.text(max_size=20))
def test_a_text_is_on_one_side_for_ever(key: bytes, salt: str) -> None:
    assert side_of(salt, key, None) is side_of(salt, key, None)


@given(st.text(max_size=20), st.lists(st.binary(min_size=32, max_size=32), min_size=2, max_size=5))
def test_a_group_is_on_one_side(group: str, keys: list[bytes]) -> None:
    assert len({side_of("salt", key, group) for key in keys}) == 1


def test_another_salt_splits_otherwise() -> None:
    keys = [content_hash(str(n)) for n in range(200)]
    held_out = {
        salt: {key for key in keys if side_of(salt, key, None) is Split.HOLDOUT} for salt in "ab"
    }
    assert held_out["a"] != held_out["b"]
    assert HELD_OUT_SHARE / 2 < len(held_out["a"]) / 200 < HELD_OUT_SHARE * 2


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(120)), st.lists(st.integers(60, 119), min_size=0, max_size=3))
def test_the_split_does_not_depend_on_order_or_on_how_many_versions_it_took(
    order: list[int], cuts: list[int]
) -> None:
    candidates = some_candidates(120)
    at_once = draft(candidates=candidates)
    shuffled = [candidates[position] for position in order]
    step_by_step = draft(candidates=shuffled[:60])
    for start, end in zip([60, *sorted(cuts)], [*sorted(cuts), 120], strict=True):
        step_by_step = draft(step_by_step.members, shuffled[start:end])
    assert sides(step_by_step) == sides(at_once)
    assert step_by_step.content_hash == at_once.content_hash
    assert step_by_step.holdout_hash == at_once.holdout_hash


def test_held_out_rows_of_the_parent_stay_held_out() -> None:
    parent = draft()
    child = draft(parent.members, some_candidates(60, start=200), salt="even with another salt")
    assert sides(parent).items() <= sides(child).items()


def test_the_hash_covers_text_label_and_side() -> None:
    whole = draft()
    relabelled = [replace(some_candidates()[0], label="positive"), *some_candidates()[1:]]
    assert draft(candidates=relabelled).content_hash != whole.content_hash
    assert draft(candidates=some_candidates(99)).content_hash != whole.content_hash
    assert draft(candidates=some_candidates()[::-1]).content_hash == whole.content_hash


def test_rows_that_are_there_already_change_nothing() -> None:
    parent = draft()
    child = draft(parent.members, some_candidates())
    assert (child.content_hash, child.unchanged, child.added) == (parent.content_hash, 100, ())


def test_a_correction_replaces_the_label_and_keeps_the_side() -> None:
    parent = draft()
    wrong = parent.members[0]
    right = "positive" if wrong.label != "positive" else "negative"
    prediction = uuid4()
    child = draft(
        parent.members,
        [Candidate(wrong.text, right, FEEDBACK, annotator="client", prediction_id=prediction)],
    )
    (change,) = child.relabelled
    assert (change.before, change.member.label) == (wrong.label, right)
    assert (change.member.split, change.member.prediction_id) == (wrong.split, prediction)


def test_an_upload_does_not_undo_a_correction() -> None:
    parent = draft()
    text, old = parent.members[0].text, parent.members[0].label
    right = "positive" if old != "positive" else "negative"
    corrected = draft(parent.members, [Candidate(text, right, FEEDBACK)])
    again = draft(corrected.members, [Candidate(text, old, "upload:test")])
    assert again.content_hash == corrected.content_hash
    assert [row.reason for row in again.left_out] == [Refusal.CORRECTED_BEFORE]


def test_a_newer_upload_replaces_an_older_label() -> None:
    parent = draft()
    text, old = parent.members[0].text, parent.members[0].label
    new = "positive" if old != "positive" else "negative"
    assert len(draft(parent.members, [Candidate(text, new, "upload:test")]).relabelled) == 1


def test_a_label_that_the_dataset_lacks_is_left_out() -> None:
    child = draft(
        draft().members, [Candidate("ciao", "angry", "upload:test", row=7)], labels=LABELS
    )
    assert [(row.row, row.reason) for row in child.left_out] == [(7, Refusal.LABEL_NOT_IN_DATASET)]


REVIEW = "Ho comprato questo {} per mio figlio e devo dire che dopo un mese di scuola è ancora come nuovo{}"


def text_on(side: Split, pattern: str = REVIEW, noun: str = "zaino") -> str:
    """A wording of the same review that the hash puts on this side."""
    return next(
        text
        for text in (pattern.format(noun, "!" * n) for n in range(100))
        if side_of("test", content_hash(text), None) is side
    )


def test_a_held_out_text_nearly_the_same_as_a_training_text_is_left_out() -> None:
    twins = [
        Candidate(text_on(side), "positive", "upload:test", row=row)
        for row, side in ((500, Split.TRAIN), (501, Split.HOLDOUT))
    ]
    result = draft(candidates=[*some_candidates(), *twins])
    assert [(row.row, row.reason) for row in result.left_out] == [(501, Refusal.NEAR_TRAINING_ROW)]
    assert content_hash(twins[0].text) in sides(result)
    assert content_hash(twins[1].text) not in sides(result)


def test_what_is_held_out_is_frozen_so_a_new_training_text_near_it_gives_way() -> None:
    held_out = Candidate(text_on(Split.HOLDOUT), "positive", "upload:test")
    parent = draft(candidates=[*some_candidates(), held_out])
    train = Candidate(text_on(Split.TRAIN), "positive", "upload:test", row=9)
    child = draft(parent.members, [train])
    assert [(row.row, row.reason) for row in child.left_out] == [(9, Refusal.NEAR_HELD_OUT_ROW)]
    assert child.content_hash == parent.content_hash


def test_new_rows_know_their_language() -> None:
    assert {member.language for member in draft().members} == {"it"}


@pytest.mark.parametrize(
    ("candidates", "sentence"),
    [
        (some_candidates(3), "Only 3 different texts"),
        (
            [replace(one, label="positive") for one in some_candidates()],
            "All 100 rows are positive",
        ),
        ([replace(one, text="sempre uguale") for one in some_candidates()], "All 1 rows are"),
        ([], "All 0 rows are nothing"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(candidates: list[Candidate], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        draft(candidates=candidates)


def test_a_class_without_training_rows_is_refused() -> None:
    two = [one for one in some_candidates() if one.label != "neutral"]
    alone = Candidate(text_on(Split.HOLDOUT), "neutral", "upload:test")
    with pytest.raises(InvalidInput, match="only 0 neutral"):
        draft(candidates=[*two, alone])


def test_two_labels_are_enough_and_known_labels_come_in_their_usual_order() -> None:
    two = [
        replace(one, label="positive" if one.row % 2 else "negative") for one in some_candidates()
    ]
    assert draft(candidates=two).labels == ("negative", "positive")
