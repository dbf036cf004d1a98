"""From people's votes to labelled texts."""

from datetime import UTC, datetime
from itertools import permutations
from uuid import UUID

from sentops_core.datasets.report import Refusal
from sentops_core.datasets.votes import decide_votes
from sentops_core.store.feedback import VotedText

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_vote(
    label: str, *, client: str = "anna", text: str = "ottimo prodotto", at: int = 1
) -> VotedText:
    return VotedText(
        prediction_id=UUID(int=1000 + at),
        client=client,
        text=text,
        label=label,
        predicted_label="negative",
        language="it",
        note=None,
        source="web",
        vote_id=UUID(int=at),
        voted_at=NOW,
        predicted_at=NOW,
        model_version="sentiment-1",
    )


def test_a_vote_becomes_a_labelled_text() -> None:
    (candidate,), tied = decide_votes([a_vote("positive", text="  Ottimo \x00 prodotto")])
    assert (candidate.text, candidate.label, candidate.source) == (
        "Ottimo prodotto",
        "positive",
        "feedback",
    )
    assert (candidate.annotator, candidate.prediction_id) == ("anna", UUID(int=1001))
    assert tied == []


def test_the_last_vote_of_a_client_counts_whatever_order_votes_come_in() -> None:
    votes = [a_vote("positive", at=1), a_vote("negative", at=2), a_vote("neutral", at=3)]
    for order in permutations(votes):
        (candidate,), _ = decide_votes(order)
        assert candidate.label == "neutral"


def test_the_majority_of_clients_decides() -> None:
    votes = [
        a_vote("positive", client="anna", at=1),
        a_vote("positive", client="bruno", at=2),
        a_vote("negative", client="carla", at=3),
    ]
    (candidate,), _ = decide_votes(votes)
    assert (candidate.label, candidate.annotator) == ("positive", "bruno")


def test_one_client_voting_often_has_one_voice() -> None:
    votes = [a_vote("positive", client="anna", at=at) for at in range(1, 6)]
    _, tied = decide_votes([*votes, a_vote("negative", client="bruno", at=9)])
    assert [row.reason for row in tied] == [Refusal.VOTES_TIED]
    assert tied[0].message == "people disagree: 1 positive, 1 negative"


def test_texts_that_differ_in_white_space_are_voted_on_together() -> None:
    votes = [
        a_vote("positive", client="anna", text="a  b"),
        a_vote("positive", client="bruno", text="a b", at=2),
    ]
    candidates, _ = decide_votes(votes)
    assert len(candidates) == 1


def test_an_empty_text_is_skipped() -> None:
    assert decide_votes([a_vote("positive", text=" \x00 ")]) == ([], [])
