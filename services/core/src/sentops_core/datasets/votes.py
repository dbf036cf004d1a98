"""People's votes on answers, as labelled texts: one voice per client and text, and the majority decides."""

from collections import Counter
from collections.abc import Iterable

from sentops_core.datasets.draft import FEEDBACK, Candidate
from sentops_core.datasets.report import Refusal, RefusedRow
from sentops_core.domain.text import content_hash, normalise
from sentops_core.store.feedback import VotedText


def decide_votes(votes: Iterable[VotedText]) -> tuple[list[Candidate], list[RefusedRow]]:
    """One candidate per text that people agree on; a tie is left out and reported.

    `vote_id` is a UUIDv7: of two votes of one client the greater one is the newer. Where staff looked at a vote on
    a text, only such votes decide about it.
    """
    last: dict[bytes, dict[str, VotedText]] = {}
    for vote in sorted(votes, key=lambda vote: vote.vote_id):
        if normalise(vote.text):
            last.setdefault(content_hash(vote.text), {})[vote.client] = vote
    candidates: list[Candidate] = []
    tied: list[RefusedRow] = []
    for everyone in last.values():
        reviewed = {client: vote for client, vote in everyone.items() if vote.reviewed_by}
        voices = reviewed or everyone
        counts = Counter(vote.label for vote in voices.values()).most_common()
        newest = max(voices.values(), key=lambda vote: vote.vote_id)
        if len(counts) > 1 and counts[0][1] == counts[1][1]:
            tied.append(_tie(newest, counts))
            continue
        deciding = max(
            (vote for vote in voices.values() if vote.label == counts[0][0]),
            key=lambda vote: vote.vote_id,
        )
        candidates.append(
            Candidate(
                text=normalise(deciding.text),
                label=deciding.label,
                source=FEEDBACK,
                annotator=deciding.reviewed_by or deciding.client,
                prediction_id=deciding.prediction_id,
                row_id=deciding.prediction_id.hex,
            )
        )
    return candidates, tied


def _tie(newest: VotedText, counts: list[tuple[str, int]]) -> RefusedRow:
    voices = ", ".join(f"{count} {label}" for label, count in counts)
    return RefusedRow(
        row=0,
        row_id=newest.prediction_id.hex,
        reason=Refusal.VOTES_TIED,
        message=f"people disagree: {voices}",
    )
