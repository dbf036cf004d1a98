"""Names and labels of the monitor's gauges, which rules and dashboards are written against; what is unknown has none."""

from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from sentops_core.domain.estimation import VoteHalves
from sentops_core.domain.quality_figures import QualityFigures, figures_of
from sentops_core.domain.tallies import VoteTally
from sentops_core.store.champions import Champion, Champions
from sentops_monitor.metrics import RoundCollector
from sentops_monitor.quality_metrics import QualityCollector
from sentops_monitor.round import Figures
from tests.support.rows import a_prediction
from tests.support.tallying import Vote, answer_tally, vote_tally

HERE = {"version": "v1", "window": "24h", "language": "all"}
COUNTS = {"sentops_window_predictions", "sentops_feedback_rate_ratio"}
FROM_VOTES = {
    "sentops_feedback_votes",
    "sentops_quality_calibration_error_ratio",
    *(
        f"sentops_{name}{end}_ratio"
        for name in ("feedback_accuracy", "quality_macro_f1")
        for end in ("", "_low", "_high")
    ),
}
ESTIMATED = {f"sentops_estimated_accuracy{end}_ratio" for end in ("", "_low", "_high")}
OF_CLASSES = {
    f"sentops_quality_class_{name}{end}_ratio"
    for name in ("precision", "recall")
    for end in ("", "_low", "_high")
}
SHARE = "sentops_feedback_largest_source_share_ratio"


def some_figures(
    votes: int = 0, *, language: str = "all", learnt: int = 0, share: float | None = None
) -> QualityFigures:
    row = a_prediction()
    given = [Vote("positive", row.label, row.score)] * votes
    half = vote_tally([Vote("positive", row.label, row.score)] * learnt)
    return figures_of(
        "v1",
        "24h",
        language,
        answer_tally([row] * 20),
        vote_tally(given) if given else VoteTally(),
        evidence=VoteHalves(half, half),
        largest_source_share=share,
    )


def shown(*figures: QualityFigures) -> dict[str, list[dict[str, str]]]:
    """By name, the labels of each series."""
    registry = CollectorRegistry()
    registry.register(QualityCollector(lambda: figures))
    found: dict[str, list[dict[str, str]]] = {}
    for family in registry.collect():
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def test_without_votes_there_are_answers_and_their_rate_alone() -> None:
    assert shown() == {}
    assert shown(some_figures()) == {name: [HERE] for name in COUNTS}


def test_votes_bring_every_measure_with_its_interval() -> None:
    found = shown(some_figures(votes=5, share=0.4))
    for name in COUNTS | FROM_VOTES:
        assert found.pop(name) == [HERE]
    for name in OF_CLASSES:
        assert found.pop(name) == [{**HERE, "label": "positive"}]
    assert found.pop(SHARE) == [{"version": "v1", "window": "24h"}]
    assert found == {}


def test_an_estimate_is_there_only_where_it_is_trusted() -> None:
    found = shown(some_figures(learnt=200))
    assert set(found) == COUNTS | ESTIMATED
    assert found["sentops_estimated_accuracy_ratio"] == [HERE]


def test_each_language_has_series_of_its_own_and_sources_are_of_all() -> None:
    found = shown(some_figures(votes=5, share=0.4), some_figures(votes=2, language="it"))
    languages = [labels["language"] for labels in found["sentops_feedback_accuracy_ratio"]]
    assert languages == ["all", "it"]
    assert len(found[SHARE]) == 1


@pytest.mark.parametrize(
    ("champions", "names"),
    [
        (Champions((), (), None), set()),
        (
            Champions((Champion("v2", datetime(2026, 1, 1, tzinfo=UTC)),), ("v1",), None),
            {"sentops_serving_since_timestamp_seconds", "sentops_previous_champion_info"},
        ),
        (
            Champions((Champion("v2", None),), (), datetime(2026, 1, 1, tzinfo=UTC)),
            {"sentops_no_champion_since_timestamp_seconds"},
        ),
    ],
)
def test_who_serves_is_shown_as_far_as_it_is_known(champions: Champions, names: set[str]) -> None:
    figures = Figures(datetime(2026, 1, 2, tzinfo=UTC), 3, (), (), champions)
    registry = CollectorRegistry()
    registry.register(RoundCollector(lambda: figures))
    samples = {one.name: one for family in registry.collect() for one in family.samples}
    always = {"sentops_quality_snapshot_timestamp_seconds", "sentops_monitor_tallies_due"}
    assert set(samples) == names | always
    assert samples["sentops_monitor_tallies_due"].value == 3
    for name in names:
        version = {"sentops_previous_champion_info": "v1"}.get(name, "v2")
        assert samples[name].labels in ({}, {"version": version})


def test_when_nothing_was_looked_at_nothing_is_shown() -> None:
    registry = CollectorRegistry()
    registry.register(RoundCollector(lambda: None))
    assert [one for family in registry.collect() for one in family.samples] == []
