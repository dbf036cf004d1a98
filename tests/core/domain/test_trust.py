"""When a person should look at a source of votes."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from sentops_core.domain.trust import (
    SourceFigures,
    Suspicion,
    figures_by,
    most_suspect_first,
    suspicions,
)


@dataclass(frozen=True)
class AVote:
    client: str
    text_key: bytes = b"text"
    label: str = "positive"
    predicted_label: str = "positive"
    known_label: str | None = None
    refused: bool = False
    voted_at: datetime = datetime(2026, 11, 21, tzinfo=UTC)


def test_a_source_is_measured_by_what_is_known_and_by_what_others_say() -> None:
    votes = [
        AVote("anna", b"1", known_label="positive"),
        AVote("bruno", b"1", known_label="positive"),
        AVote("troll", b"1", "negative", known_label="positive", refused=True),
        AVote("troll", b"2", "negative"),
    ]
    found = figures_by(votes, lambda vote: vote.client)
    troll = found["troll"]
    assert (troll.votes, troll.all_votes, troll.share) == (2, 4, 0.5)
    assert (troll.known, troll.known_right) == (1, 0)
    assert (troll.shared, troll.shared_with_most) == (1, 0)
    assert (troll.with_model, troll.refused) == (0, 1)
    # Of the others of "anna" one says positive and one negative: that is no majority.
    assert (found["anna"].shared, found["anna"].known_right) == (0, 1)


def test_only_the_last_word_of_each_other_client_counts() -> None:
    later = datetime(2026, 11, 22, tzinfo=UTC)
    votes = [AVote("anna", label="negative"), AVote("anna", voted_at=later), AVote("bruno")]
    assert figures_by(votes, lambda vote: vote.client)["bruno"].shared_with_most == 1


@dataclass(frozen=True)
class CountedVote(AVote):
    """`reads` gets an entry each time somebody looks what it says."""

    said: str = "positive"
    reads: list[str] = field(default_factory=list, compare=False)

    def __getattribute__(self, name: str) -> object:
        if name == "label":
            object.__getattribute__(self, "reads").append(name)
            return object.__getattribute__(self, "said")
        return object.__getattribute__(self, name)


def test_a_text_that_hundreds_voted_on_is_not_counted_anew_for_each_of_them() -> None:
    reads: list[str] = []
    votes = [
        CountedVote(f"client-{n}", said="negative" if n < 100 else "positive", reads=reads)
        for n in range(400)
    ]
    found = figures_by(votes, lambda vote: vote.client)
    assert found["client-7"].shared_with_most == 0
    assert found["client-200"].shared_with_most == 1
    assert len(reads) <= 5 * len(votes)


def test_where_others_are_even_nobody_is_against_them() -> None:
    votes = [AVote("anna"), AVote("bruno"), AVote("troll", label="negative")]
    found = figures_by(votes, lambda vote: vote.client)
    assert (found["troll"].shared, found["troll"].shared_with_most) == (1, 0)
    assert [found[name].shared for name in ("anna", "bruno")] == [0, 0]


def test_a_source_that_is_mostly_right_is_left_in_peace() -> None:
    assert suspicions(SourceFigures(votes=40, all_votes=400, known=20, known_right=17)) == ()


def test_a_source_that_contradicts_what_is_known_is_suspect() -> None:
    figures = SourceFigures(votes=40, all_votes=400, known=12, known_right=2)
    assert suspicions(figures) == (Suspicion.DISAGREES_WITH_KNOWN,)


def test_a_few_votes_prove_nothing() -> None:
    assert suspicions(SourceFigures(votes=4, all_votes=8, known=4, known_right=0)) == ()
    assert suspicions(SourceFigures(votes=9, all_votes=90, shared=9, shared_with_most=0)) == ()


def test_a_source_that_contradicts_all_others_is_suspect() -> None:
    figures = SourceFigures(votes=30, all_votes=400, shared=20, shared_with_most=3)
    assert suspicions(figures) == (Suspicion.DISAGREES_WITH_OTHERS,)


def test_a_source_with_a_quarter_of_all_votes_is_too_loud() -> None:
    assert suspicions(SourceFigures(votes=60, all_votes=200)) == (Suspicion.TOO_MANY,)
    assert suspicions(SourceFigures(votes=60, all_votes=200), one_client=False) == ()
    assert suspicions(SourceFigures(votes=50, all_votes=200)) == ()
    assert suspicions(SourceFigures(votes=10, all_votes=10)) == ()


def test_figures_are_unknown_without_votes_to_compare() -> None:
    figures = SourceFigures(votes=1, all_votes=0)
    assert (figures.right, figures.with_others, figures.share) == (None, None, 0.0)


def test_the_most_suspect_come_first() -> None:
    calm = SourceFigures(votes=90, all_votes=900)
    wrong = SourceFigures(votes=20, all_votes=900, known=10, known_right=0)
    assert [name for name, _ in most_suspect_first([("calm", calm), ("wrong", wrong)])] == [
        "wrong",
        "calm",
    ]
