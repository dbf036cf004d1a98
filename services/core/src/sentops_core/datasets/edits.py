"""What staff edited since the last version, put among the rows of the next one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from sentops_core.datasets.draft import EDITED, Candidate, Member
from sentops_core.datasets.report import Refusal, RefusedRow
from sentops_core.domain.text import content_hash
from sentops_core.store.examples import EditedLabel


def texts_of(parent: Iterable[Member], candidates: Iterable[Candidate]) -> list[bytes]:
    """Hashes of all that could have been edited."""
    return [member.content_hash for member in parent] + [
        content_hash(candidate.text) for candidate in candidates
    ]


def with_edits(
    parent: Sequence[Member],
    candidates: Sequence[Candidate],
    edits: Mapping[bytes, EditedLabel],
    *,
    labels: tuple[str, ...] | None,
) -> tuple[list[Candidate], list[RefusedRow]]:
    """The candidates as staff want them, and which of them said otherwise: an edit outweighs whatever is sent later."""
    if not edits:
        return list(candidates), []
    wanted = [
        Candidate(
            text=member.text,
            label=edit.label,
            source=EDITED,
            annotator=edit.annotator,
            prediction_id=member.prediction_id,
        )
        for member in parent
        if (edit := edits.get(member.content_hash)) and edit.label != member.label
    ]
    refused = []
    for candidate in candidates:
        edit = edits.get(content_hash(candidate.text))
        if edit is None or (labels is not None and edit.label not in labels):
            wanted.append(candidate)
            continue
        if edit.label != candidate.label:
            refused.append(
                candidate.refused(
                    Refusal.CORRECTED_BEFORE,
                    f"staff changed this text to {edit.label}",
                    label=edit.label,
                    source=EDITED,
                )
            )
        wanted.append(replace(candidate, label=edit.label, source=EDITED, annotator=edit.annotator))
    return wanted, refused
