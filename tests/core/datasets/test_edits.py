"""What staff edited is in the next version, whatever it is built from."""

from sentops_core.datasets.draft import EDITED, FEEDBACK, Candidate, Member, draft_version
from sentops_core.datasets.edits import with_edits
from sentops_core.datasets.report import Refusal
from sentops_core.datasets.split import Split
from sentops_core.domain.text import content_hash
from sentops_core.store.examples import EditedLabel
from tests.support.candidates import some_candidates

ALL = ("negative", "neutral", "positive")


def a_member(candidate: Candidate, label: str | None = None) -> Member:
    return Member(
        content_hash(candidate.text),
        candidate.text,
        label or candidate.label,
        Split.TRAIN,
        candidate.source,
    )


def an_edit(candidate: Candidate, label: str) -> dict[bytes, EditedLabel]:
    key = content_hash(candidate.text)
    return {key: EditedLabel(key, label, "ada")}


def test_a_row_of_the_parent_gets_the_edited_label() -> None:
    (one,) = some_candidates(1)
    candidates, refused = with_edits([a_member(one)], [], an_edit(one, "positive"), labels=ALL)
    assert [(c.text, c.label, c.source, c.annotator) for c in candidates] == [
        (one.text, "positive", EDITED, "ada")
    ]
    assert refused == []


def test_an_edit_that_the_parent_has_already_changes_nothing() -> None:
    (one,) = some_candidates(1)
    edits = an_edit(one, one.label)
    assert with_edits([a_member(one)], [], edits, labels=ALL) == ([], [])


def test_a_file_that_says_otherwise_is_overruled_and_told() -> None:
    (one,) = some_candidates(1)
    candidates, refused = with_edits([], [one], an_edit(one, "positive"), labels=ALL)
    assert [(c.label, c.source) for c in candidates] == [("positive", EDITED)]
    assert [(r.reason, r.facts) for r in refused] == [
        (Refusal.CORRECTED_BEFORE, {"label": "positive", "source": "edited"})
    ]


def test_a_file_that_agrees_is_not_told_off() -> None:
    (one,) = some_candidates(1)
    candidates, refused = with_edits([], [one], an_edit(one, one.label), labels=ALL)
    assert (candidates[0].source, refused) == (EDITED, [])


def test_an_edit_made_for_a_dataset_with_other_labels_leaves_this_one_alone() -> None:
    (one,) = some_candidates(1)
    labels = ("negative", "positive")
    assert with_edits([], [one], an_edit(one, "neutral"), labels=labels) == ([one], [])


def test_neither_votes_nor_files_overrule_what_staff_edited() -> None:
    some = some_candidates(120)
    parent = [a_member(one) for one in some[:110]]
    parent[0] = Member(**(vars(parent[0]) | {"label": "positive", "source": EDITED}))
    for source in ("upload:x", FEEDBACK):
        again = Candidate(parent[0].text, "negative", source)
        draft = draft_version(
            parent,
            [again, *some[110:]],
            labels=ALL,
            salt="x",
            detect_language=lambda _: "it",
        )
        assert draft.relabelled == ()
        assert [row.reason for row in draft.left_out] == [Refusal.CORRECTED_BEFORE]
