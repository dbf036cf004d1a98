"""Staff change what a text is labelled: at once for everybody to see, and in training from the next version on."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sentops_core.domain.errors import Conflict, InvalidInput, NotFound
from sentops_core.domain.text import normalise
from sentops_core.store.audit import Audit, AuditRow
from sentops_core.store.examples import Examples, KnownExample
from sentops_core.store.pool import Connection

EDIT = "example.edited"
_RELABELLED = "example.relabelled"  # by an upload or by votes, when a version was built
LONGEST_REASON = 500
_SHOWN_CHANGES = 100


@dataclass(frozen=True)
class Change:
    """One line of a text's history; `reason` is empty where no person gave one."""

    at: datetime
    actor: str
    before: str
    after: str
    reason: str
    source: str
    dataset_version: str


async def edit_label(
    connection: Connection,
    content_hash: bytes,
    *,
    label: str,
    seen: str,
    reason: str,
    labels: list[str],
    version: str,
    actor: str,
) -> KnownExample:
    """Give the text another label; `seen` is the one that the editor looked at, `labels` are the dataset's.

    Conflict when somebody changed it meanwhile: their change is not overwritten unseen.
    """
    if label not in labels:
        raise InvalidInput(
            f"The label is one of {', '.join(labels)}.",
            saying="edit_unknown_label",
            facts={"labels": ", ".join(labels)},
        )
    why = normalise(reason)
    if not why or len(why) > LONGEST_REASON:
        raise InvalidInput(
            f"Say why, in {LONGEST_REASON} characters at most: the history keeps it for those who come after.",
            saying="edit_incomplete",
            facts={"most": LONGEST_REASON},
        )
    examples = Examples(connection)
    example = await examples.find(content_hash, lock=True)
    if example is None:
        raise NotFound(
            "This text was erased: there is nothing to label any more.", saying="edit_erased"
        )
    if example.label != seen:
        raise Conflict(
            f"Somebody made it {example.label} meanwhile: look at the history, then decide again.",
            saying="edit_raced",
            facts={"label": example.label},
        )
    if example.label == label:
        raise InvalidInput(
            f"It is {label} already: choose another label.",
            saying="edit_same",
            facts={"label": label},
        )
    await examples.edit(content_hash, label, actor)
    await Audit(connection).record(
        actor,
        EDIT,
        content_hash.hex(),
        {
            "before": example.label,
            "after": label,
            "reason": why,
            "source_before": example.source,
            "dataset_version": version,
        },
    )
    changed = await examples.find(content_hash)
    assert changed is not None  # noqa: S101 - locked above
    return changed


async def history_of(connection: Connection, content_hash: bytes) -> list[Change]:
    """Who changed the label of a text, the newest first."""
    lines = await Audit(connection).newest(subject=content_hash.hex(), limit=_SHOWN_CHANGES)
    return [_change(line) for line in lines if line.action in {EDIT, _RELABELLED}]


def _change(line: AuditRow) -> Change:
    evidence: dict[str, Any] = line.evidence
    return Change(
        at=line.at,
        actor=line.actor,
        before=str(evidence.get("before", "")),
        after=str(evidence.get("after", "")),
        reason=str(evidence.get("reason", "")),
        source="edited" if line.action == EDIT else str(evidence.get("source", "")),
        dataset_version=str(evidence.get("dataset_version", "")),
    )
