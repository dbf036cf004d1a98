"""What the next dataset version holds: decided here from values alone, before anything is written."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sentops_core.datasets.near_duplicates import NearDuplicateIndex
from sentops_core.datasets.report import Refusal, RefusedRow
from sentops_core.datasets.split import Split, side_of
from sentops_core.domain.base import Digest
from sentops_core.domain.errors import InvalidInput
from sentops_core.domain.resources import DEFAULT_LABELS
from sentops_core.domain.text import content_hash
from sentops_core.language import DetectLanguage

FEEDBACK = "feedback"
LABELLING = "labelling"
EDITED = "edited"
# Whose word stands when two sources call a text differently; any other source has none of its own.
_AUTHORITY = {FEEDBACK: 1, LABELLING: 2, EDITED: 3}
_WHO = {FEEDBACK: "people corrected", LABELLING: "annotators set", EDITED: "staff changed"}
# As the run demands them: its validation part needs some rows of each label.
MIN_TRAIN_ROWS = 20
MIN_TRAIN_ROWS_PER_LABEL = 5


@dataclass(frozen=True)
class Candidate:
    """A labelled text that wants to be in the next version; `row` and `row_id` say where it came from."""

    text: str
    label: str
    source: str
    group: str | None = None
    annotator: str | None = None
    prediction_id: UUID | None = None
    row: int = 0
    row_id: str = ""

    def refused(self, reason: Refusal, message: str, **facts: str) -> RefusedRow:
        return RefusedRow(
            row=self.row, row_id=self.row_id, reason=reason, message=message, facts=facts
        )


@dataclass(frozen=True)
class Member:
    """One row of a version."""

    content_hash: bytes
    text: str
    label: str
    split: Split
    source: str
    language: str | None = None
    group: str | None = None
    annotator: str | None = None
    prediction_id: UUID | None = None


@dataclass(frozen=True)
class Relabelling:
    member: Member
    before: str


@dataclass(frozen=True)
class Draft:
    """A version before it has a name: its rows ordered by hash, and what changed against the parent."""

    labels: tuple[str, ...]
    members: tuple[Member, ...]
    added: tuple[Member, ...]
    relabelled: tuple[Relabelling, ...]
    unchanged: int
    left_out: tuple[RefusedRow, ...]

    @property
    def content_hash(self) -> Digest:
        return hash_of(self.members)

    @property
    def holdout_hash(self) -> Digest:
        return hash_of(self.side(Split.HOLDOUT))

    @property
    def label_counts(self) -> dict[str, int]:
        counts = Counter(member.label for member in self.members)
        return {label: counts[label] for label in self.labels}

    def side(self, split: Split) -> tuple[Member, ...]:
        return tuple(member for member in self.members if member.split is split)


def hash_of(members: Iterable[Member]) -> Digest:
    """The identity of a set of rows: what is said, how it is labelled, on which side it is."""
    lines = sorted(
        f"{member.content_hash.hex()} {member.label} {member.split}\n" for member in members
    )
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def outranks(source: str, other: str) -> bool:
    """Whether a label of the one source stands against a newer one of the other."""
    return _AUTHORITY.get(source, 0) > _AUTHORITY.get(other, 0)


def draft_version(
    parent: Sequence[Member],
    candidates: Sequence[Candidate],
    *,
    labels: tuple[str, ...] | None,
    salt: str,
    detect_language: DetectLanguage,
) -> Draft:
    """The parent's rows and the candidates as one version; InvalidInput if nothing could be trained on it.

    `labels` are the dataset's; None lets the rows say. A row of the parent never changes sides; a person's
    correction outweighs an uploaded label, what the labelling queue agreed on outweighs both, staff who edit a
    label outweigh all, and otherwise the newer label wins.
    """
    merged = _merge(parent, candidates, labels, salt)
    new = [member for key, member in merged.members.items() if key in merged.new]
    old = [member for key, member in merged.members.items() if key not in merged.new]
    kept, near = _without_near_duplicates(old, new, merged.new)
    added = tuple(replace(member, language=detect_language(member.text)) for member in kept)
    members = tuple(sorted((*old, *added), key=lambda member: member.content_hash))
    draft = Draft(
        labels=labels or labels_of(members),
        members=members,
        added=added,
        relabelled=_relabelled(parent, old),
        unchanged=merged.unchanged,
        left_out=(*merged.left_out, *near),
    )
    _require_trainable(draft)
    return draft


def labels_of(members: Iterable[Member]) -> tuple[str, ...]:
    """The usual labels in their usual order, then any others."""
    present = {member.label for member in members}
    usual = tuple(label for label in DEFAULT_LABELS if label in present)
    return usual + tuple(sorted(present.difference(usual)))


@dataclass
class _Merged:
    members: dict[bytes, Member]
    new: dict[bytes, Candidate]
    left_out: list[RefusedRow]
    unchanged: int = 0


def _merge(
    parent: Sequence[Member],
    candidates: Sequence[Candidate],
    labels: tuple[str, ...] | None,
    salt: str,
) -> _Merged:
    merged = _Merged({member.content_hash: member for member in parent}, {}, [])
    for candidate in candidates:
        key = content_hash(candidate.text)
        known = merged.members.get(key)
        if labels is not None and candidate.label not in labels:
            ours = ", ".join(labels)
            merged.left_out.append(
                candidate.refused(
                    Refusal.LABEL_NOT_IN_DATASET,
                    f"the dataset's labels are {ours}, not {candidate.label}",
                    label=candidate.label,
                    labels=ours,
                )
            )
        elif known is None:
            merged.new[key] = candidate
            merged.members[key] = Member(
                content_hash=key,
                text=candidate.text,
                label=candidate.label,
                split=side_of(salt, key, candidate.group),
                source=candidate.source,
                group=candidate.group,
                annotator=candidate.annotator,
                prediction_id=candidate.prediction_id,
            )
        elif known.label == candidate.label:
            merged.unchanged += 1
        elif outranks(known.source, candidate.source):
            message = f"{_WHO[known.source]} this text to {known.label}"
            merged.left_out.append(
                candidate.refused(
                    Refusal.CORRECTED_BEFORE, message, label=known.label, source=known.source
                )
            )
        else:
            merged.members[key] = replace(
                known,
                label=candidate.label,
                source=candidate.source,
                annotator=candidate.annotator,
                prediction_id=candidate.prediction_id,
            )
    return merged


def _relabelled(parent: Sequence[Member], old: Sequence[Member]) -> tuple[Relabelling, ...]:
    before = {member.content_hash: member.label for member in parent}
    return tuple(
        Relabelling(member, before[member.content_hash])
        for member in old
        if member.label != before[member.content_hash]
    )


def _without_near_duplicates(
    old: Sequence[Member], new: Sequence[Member], origin: dict[bytes, Candidate]
) -> tuple[list[Member], list[RefusedRow]]:
    """The new rows that may stay. What is held out already is frozen, so there the training row gives way."""
    new_train = [member for member in new if member.split is Split.TRAIN]
    new_held_out = [member for member in new if member.split is Split.HOLDOUT]
    frozen = [member for member in old if member.split is Split.HOLDOUT]
    kept_train, left_out_of_train = _apart_from(frozen, new_train)
    train = [member for member in old if member.split is Split.TRAIN] + kept_train
    kept_held_out, left_out_of_held_out = _apart_from(train, new_held_out)
    refused = [
        origin[member.content_hash].refused(
            Refusal.NEAR_HELD_OUT_ROW,
            "nearly the same as a held-out text; training on it would be cheating",
        )
        for member in left_out_of_train
    ] + [
        origin[member.content_hash].refused(
            Refusal.NEAR_TRAINING_ROW,
            "falls to the held-out rows, but a training text is nearly the same",
        )
        for member in left_out_of_held_out
    ]
    return kept_train + kept_held_out, refused


def _apart_from(
    others: Sequence[Member], members: Sequence[Member]
) -> tuple[list[Member], list[Member]]:
    if not others or not members:
        return list(members), []
    index = NearDuplicateIndex.of([member.text for member in others])
    nearest = index.nearest([member.text for member in members])
    apart = [member for member, twin in zip(members, nearest, strict=True) if twin is None]
    near = [member for member, twin in zip(members, nearest, strict=True) if twin is not None]
    return apart, near


def _require_trainable(draft: Draft) -> None:
    train = Counter(member.label for member in draft.side(Split.TRAIN))
    held_out = len(draft.members) - train.total()
    if len(labels_of(draft.members)) < 2:
        only = next(iter(labels_of(draft.members)), "nothing")
        raise InvalidInput(
            f"All {len(draft.members)} rows are {only}: add texts with another label.",
            saying="dataset_one_label",
            facts={"rows": len(draft.members), "label": only},
        )
    if train.total() < MIN_TRAIN_ROWS:
        raise InvalidInput(
            f"Only {len(draft.members)} different texts, {train.total()} of them for training: "
            f"at least {MIN_TRAIN_ROWS} are needed for training, and a few hundred to learn anything.",
            saying="dataset_small",
            facts={"rows": len(draft.members), "train": train.total(), "least": MIN_TRAIN_ROWS},
        )
    if scarce := [label for label in draft.labels if train[label] < MIN_TRAIN_ROWS_PER_LABEL]:
        found = ", ".join(f"{train[label]} {label}" for label in scarce)
        raise InvalidInput(
            f"Of the training rows only {found}: each label needs at least {MIN_TRAIN_ROWS_PER_LABEL}.",
            saying="dataset_scarce",
            facts={"found": found, "least": MIN_TRAIN_ROWS_PER_LABEL},
        )
    if not held_out:
        raise InvalidInput(
            "No row fell to the held-out side, which judges the model: add more texts.",
            saying="dataset_no_holdout",
        )
