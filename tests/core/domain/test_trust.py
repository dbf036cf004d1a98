"""When a person should look at a source of votes."""

from sentops_core.domain.trust import SourceFigures, Suspicion, most_suspect_first, suspicions


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
