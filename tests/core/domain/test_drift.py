"""Drift is said when something moved, and not when it did not."""

import itertools
import math
import random
from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2, chi2_contingency

from sentops_core.domain.drift import (
    ALPHA,
    FLOOR,
    MIN_REFERENCE_SAMPLES,
    MIN_SAMPLES,
    Feature,
    FeatureDrift,
    Movement,
    beyond_chance,
    chi_square_beyond,
    drift_of,
    grouped,
    holm,
    homogeneity,
    jensen_shannon,
)
from sentops_core.domain.reference import ReferenceProfile, design_effect
from sentops_core.domain.tallies import AnswerTally, total_answers
from tests.support.drift_texts import (
    Answered,
    languages_of,
    reference_of,
    some_texts,
    tally_of,
)

pairs = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=2, max_size=30)
REFERENCE = reference_of(some_texts(2000, "en", seed=1), some_texts(500, "en", seed=2))


def found(
    answers: list[Answered], reference: ReferenceProfile = REFERENCE
) -> dict[Feature, FeatureDrift]:
    drifts = drift_of(reference, tally_of(answers, reference), languages_of(answers))
    return {one.feature: one for one in drifts}


def moved(drifts: dict[Feature, FeatureDrift]) -> set[Feature]:
    return {
        feature
        for feature, one in drifts.items()
        if one.movement is not None and one.movement.drifted
    }


# ---- the parts, against those of others


@pytest.mark.parametrize("degrees", [1, 2, 3, 10, 19, 255])
def test_the_chi_square_distribution_is_scipy_s(degrees: int) -> None:
    for statistic in (0, 0.01, 0.5, 1, 3.84, 20, 150, 300, 1000, 5000):
        expected = float(chi2.sf(statistic, degrees))
        assert chi_square_beyond(statistic, degrees) == pytest.approx(
            expected, rel=1e-9, abs=1e-300
        )


@given(pairs)
def test_the_test_is_scipy_s(counts: list[tuple[int, int]]) -> None:
    assume(all(sum(column) for column in zip(*counts, strict=True)))
    counts = [pair for pair in counts if sum(pair)]
    expected = chi2_contingency(list(zip(*counts, strict=True)), correction=False).pvalue
    assert homogeneity(counts) == pytest.approx(expected, rel=1e-6, abs=1e-300)


@given(pairs)
def test_the_distance_is_scipy_s(counts: list[tuple[int, int]]) -> None:
    assume(all(sum(column) for column in zip(*counts, strict=True)))
    expected = jensenshannon(*zip(*counts, strict=True), base=2)
    assert jensen_shannon(counts) == pytest.approx(float(expected), abs=1e-6)


@given(st.lists(st.floats(0, 1), max_size=6))
def test_the_adjustment_is_the_closure_of_bonferroni_s(p_values: list[float]) -> None:
    """By definition: a hypothesis falls when every set of hypotheses with it falls to Bonferroni's test."""
    every = range(len(p_values))
    sets = [chosen for size in every for chosen in itertools.combinations(every, size + 1)]
    expected = [
        max(
            min(1.0, len(chosen) * min(p_values[one] for one in chosen))
            for chosen in sets
            if number in chosen
        )
        for number in every
    ]
    assert holm(p_values) == pytest.approx(expected)


@given(pairs)
def test_pooling_loses_no_count_and_leaves_enough_in_each_group(
    counts: list[tuple[int, int]],
) -> None:
    assume(all(sum(column) for column in zip(*counts, strict=True)))
    groups = grouped(counts)
    totals = [sum(column) for column in zip(*counts, strict=True)]
    assert [sum(column) for column in zip(*groups, strict=True)] == totals
    for pair in groups:
        expected = min(totals) * sum(pair) / sum(totals)
        often = min(totals) * max(pair[0] / totals[0], pair[1] / totals[1])
        assert len(groups) == 1 or expected >= 5 - 1e-9 or often >= 20 - 1e-9


@pytest.mark.parametrize(("now", "reference"), [(100, 10**6), (10**6, 100), (100, 100)])
def test_what_is_wholly_new_or_gone_is_not_pooled_away(now: int, reference: int) -> None:
    some_now, some_before = now // 4, reference // 4
    new = grouped([(now - some_now, reference), (some_now, 0)])
    gone = grouped([(now, reference - some_before), (0, some_before)])
    assert homogeneity(new) < ALPHA
    assert homogeneity(gone) < ALPHA
    assert min(beyond_chance(new), beyond_chance(gone)) > FLOOR


# ---- nothing moved


@pytest.mark.parametrize("size", [MIN_SAMPLES, 400, 1000])
def test_texts_of_the_same_kind_have_not_drifted(size: int) -> None:
    """Over references and windows drawn anew: hardly anything is significant, and nothing has drifted."""
    significant = Counter[Feature]()
    drawn = 60
    everything = some_texts(6000, "en", seed=3)
    chance = random.Random(size)
    for seed in range(drawn):
        texts = chance.sample(everything, 1000 + size)
        reference = reference_of(texts[:800], texts[800:1000])
        drifts = found(texts[1000:], reference)
        assert moved(drifts) == set(), seed
        for one in drifts.values():
            assert one.movement is not None
            significant[one.feature] += one.movement.p_value < 0.05
    # 0.05 of 60 is 3; more than 9 happens once in 1,500 times.
    assert max(significant.values()) <= 9, significant
    assert sum(significant.values()) <= 0.05 * drawn * len(Feature) * 1.6, significant


def test_unseen_words_that_come_together_are_no_drift_by_themselves() -> None:
    """Some texts are full of them, most have none: without the correction many windows would be significant."""
    chance = random.Random(5)

    def groups(texts: int) -> tuple[float, tuple[int, int]]:
        counts = [(12, 9 if chance.random() < 0.2 else 0) for _ in range(texts)]
        unseen = sum(part for _, part in counts)
        return design_effect(counts), (unseen, 12 * texts - unseen)

    corrected = uncorrected = 0
    for _ in range(100):
        (spread, reference), (_, now) = groups(300), groups(150)
        pairs = list(zip(now, reference, strict=True))
        corrected += homogeneity(pairs, spread=spread) < 0.05
        uncorrected += homogeneity(pairs) < 0.05
    assert uncorrected > 40
    assert corrected <= 12  # 5 are due; more than 12 come once in 1,000 times


def test_a_million_answers_do_not_make_a_trifle_drift() -> None:
    answers = AnswerTally(
        answers=10**6, labels={"negative": 320_000, "neutral": 190_000, "positive": 490_000}
    )
    reference = REFERENCE.model_copy(
        update={
            "held_out": REFERENCE.held_out.model_copy(
                update={
                    "texts": 10**5,
                    "labels": {"negative": 30_000, "neutral": 20_000, "positive": 50_000},
                }
            )
        }
    )
    (labels,) = (one for one in drift_of(reference, answers, {}) if one.feature is Feature.LABELS)
    assert labels.movement is not None
    assert labels.movement.adjusted_p_value < ALPHA
    assert labels.movement.distance < FLOOR
    assert not labels.movement.drifted


def test_chance_is_taken_off_the_distance() -> None:
    """Two samples of one distribution are apart by their size alone."""
    chance = random.Random(7)
    raw, left = [], []
    for _ in range(100):
        now = Counter(chance.choices(range(40), k=400))
        before = Counter(chance.choices(range(40), k=900))
        groups = grouped([(now[slot], before[slot]) for slot in range(40)])
        raw.append(jensen_shannon(groups) ** 2)
        left.append(raw[-1] - beyond_chance(groups) ** 2)
    by_chance = 39 * (1 / 400 + 1 / 900) / (8 * math.log(2))
    assert sum(raw) / 100 == pytest.approx(by_chance, rel=0.1)
    assert max(left) == pytest.approx(by_chance, rel=0.01)


# ---- something moved


@pytest.mark.parametrize("size", [MIN_SAMPLES, 1000])
def test_italian_messages_are_not_english_reviews(size: int) -> None:
    messages = some_texts(size, "it", seed=4, words=(3, 12))
    assert moved(found(messages)) == {
        Feature.LANGUAGE,
        Feature.WORDS,
        Feature.UNSEEN_WORDS,
        Feature.LENGTH,
    }


def test_a_fifth_of_another_language_is_seen() -> None:
    mixed = some_texts(240, "en", seed=5) + some_texts(60, "it", seed=5)
    assert moved(found(mixed)) >= {Feature.LANGUAGE, Feature.UNSEEN_WORDS}


def test_longer_texts_move_the_length_alone() -> None:
    longer = some_texts(300, "en", seed=6, words=(20, 60))
    assert moved(found(longer)) == {Feature.LENGTH}


def test_another_mix_of_answers_moves_the_labels_alone() -> None:
    assert moved(found(some_texts(300, "en", seed=7, label_weights=(6, 2, 2)))) == {Feature.LABELS}


def test_a_model_that_is_less_sure_moves_the_confidence_alone() -> None:
    assert moved(found(some_texts(300, "en", seed=8, sureness=1.5))) == {Feature.CONFIDENCE}


def test_another_subject_in_the_same_language_moves_the_words() -> None:
    training = [one for one in some_texts(3000, "en", seed=9) if "camera" not in one.text]
    cameras = [one for one in some_texts(3000, "en", seed=10) if "camera" in one.text][:200]
    drifts = moved(found(cameras, reference_of(training[:1500], training[1500:1900])))
    assert Feature.WORDS in drifts
    assert Feature.LANGUAGE not in drifts


# ---- nothing can be said


def test_too_few_texts_are_said_to_be_too_few() -> None:
    drifts = found(some_texts(MIN_SAMPLES - 1, "it", seed=11))
    assert {one.movement for one in drifts.values()} == {None}
    assert {one.unknown for one in drifts.values()} == {
        f"{MIN_SAMPLES - 1} texts are too few to say: it takes {MIN_SAMPLES}."
    }
    assert {one.samples for one in drifts.values()} == {MIN_SAMPLES - 1}


def test_a_version_with_few_held_out_texts_is_compared_with_its_training_alone() -> None:
    few = MIN_REFERENCE_SAMPLES - 1
    reference = reference_of(some_texts(500, "en", seed=1), some_texts(few, "en", seed=2))
    drifts = found(some_texts(200, "en", seed=3), reference)
    unknown = {feature for feature, one in drifts.items() if one.movement is None}
    assert unknown == {Feature.UNSEEN_WORDS, Feature.LABELS, Feature.CONFIDENCE}
    assert f"The version has {few} held-out texts" in str(drifts[Feature.LABELS].unknown)


def test_erased_texts_leave_what_needs_no_text() -> None:
    """What was asked goes by retention; what was answered stays."""
    kept = tally_of(some_texts(300, "en", seed=12), REFERENCE)
    answers = AnswerTally(answers=300, labels=kept.labels, confidences=kept.confidences)
    drifts = {one.feature: one for one in drift_of(REFERENCE, answers, {"en": 300})}
    assert {feature for feature, one in drifts.items() if one.movement is not None} == {
        Feature.LANGUAGE,
        Feature.LABELS,
        Feature.CONFIDENCE,
    }
    assert drifts[Feature.LENGTH].samples == 0


def test_texts_without_a_word_have_no_words_to_compare() -> None:
    emoji = [Answered("👍👍", None, "positive", 0.9)] * 200
    drifts = found(emoji)
    assert drifts[Feature.WORDS].unknown == "There is nothing in the texts to count."
    assert moved(drifts) >= {Feature.LANGUAGE, Feature.LENGTH}


def test_words_counted_before_the_reference_came_say_nothing_of_unseen_ones() -> None:
    answers = some_texts(300, "en", seed=13)
    drifts = {
        one.feature: one
        for one in drift_of(REFERENCE, tally_of(answers, None), languages_of(answers))
    }
    assert "before it was known" in str(drifts[Feature.UNSEEN_WORDS].unknown)
    assert drifts[Feature.WORDS].movement is not None


def test_the_adjustment_counts_only_what_could_be_tested() -> None:
    drifts = found(some_texts(200, "it", seed=14))
    looked_at: list[Movement] = [
        one.movement for one in drifts.values() if one.movement is not None
    ]
    assert [one.adjusted_p_value for one in looked_at] == holm([one.p_value for one in looked_at])


counts = st.integers(0, 3) | st.integers(0, 10**12)


def bins(number: int) -> st.SearchStrategy[tuple[int, ...]]:
    some = st.lists(counts, min_size=1, max_size=7)
    return some.map(lambda few: tuple(itertools.islice(itertools.cycle(few), number)))


@st.composite
def odd_profiles(draw: st.DrawFn) -> ReferenceProfile:
    """Whatever an artefact made elsewhere may claim."""
    words = draw(counts)
    held_out = {
        "texts": draw(counts),
        "words": words,
        "unseen_words": draw(st.integers(0, words)),
        "unseen_spread": draw(st.floats(1, 1e300)),
        "labels": draw(st.dictionaries(st.sampled_from(["a", "b", "c"]), counts)),
        "confidences": draw(st.dictionaries(st.sampled_from(["a", "b"]), bins(20))),
    }
    return ReferenceProfile.model_validate(
        {
            "texts": draw(counts),
            "lengths": draw(bins(11)),
            "languages": draw(st.dictionaries(st.sampled_from(["it", "en", "unknown"]), counts)),
            "word_slots": draw(bins(256)),
            "vocabulary": (),
            "held_out": held_out,
        }
    )


@settings(deadline=None, max_examples=60)
@given(odd_profiles(), bins(256), bins(11), bins(20), counts, counts)
def test_whatever_an_artefact_claims_the_figures_are_figures(
    profile: ReferenceProfile,
    slots: tuple[int, ...],
    lengths: tuple[int, ...],
    confidences: tuple[int, ...],
    first: int,
    second: int,
) -> None:
    answers = AnswerTally(
        answers=first,
        labels={"a": first, "z": second},
        confidences={"a": confidences},
        lengths=lengths,
        sampled=first,
        words=first + second,
        unseen_words=second,
        word_slots=slots,
    )
    drifts = drift_of(profile, answers, {"it": first, "de": second})
    assert {one.feature for one in drifts} == set(Feature)
    for one in drifts:
        assert (one.movement is None) == (one.unknown is not None)
        if one.movement is not None:
            assert 0 <= one.movement.distance <= 1
            assert 0 <= one.movement.p_value <= one.movement.adjusted_p_value <= 1


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 59), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_how_the_answers_are_split_and_ordered_makes_no_difference(
    cuts: list[int], chance: random.Random
) -> None:
    answers = some_texts(150, "en", seed=15)
    whole = drift_of(REFERENCE, tally_of(answers, REFERENCE), languages_of(answers))
    shuffled = chance.sample(answers, len(answers))
    edges = [0, *sorted(cuts), len(shuffled)]
    parts = [tally_of(shuffled[first:last], REFERENCE) for first, last in itertools.pairwise(edges)]
    assert drift_of(REFERENCE, total_answers(parts), languages_of(shuffled)) == whole
