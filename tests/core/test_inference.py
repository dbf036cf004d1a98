"""Answering from an artefact folder."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from sentops_core.domain.artifact import CONFIG, GOLDEN, MODEL, STUDENT, TOKENIZER
from sentops_core.domain.errors import ArtifactError
from sentops_core.domain.fast_path import FastPath
from sentops_core.inference import Scorer
from tests.support.artifacts import build_artifact


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return Scorer.load(build_artifact(tmp_path_factory.mktemp("artifact") / "built").folder)


def test_words_decide_the_label_and_the_scores_are_probabilities(scorer: Scorer) -> None:
    good, bad = scorer.score(["a GREAT product", "it is broken"])

    assert (good.label, bad.label) == ("positive", "negative")
    assert sum(good.scores.values()) == pytest.approx(1)
    assert good.score == max(good.scores.values()) == good.scores["positive"]


def test_a_text_gets_the_same_answer_alone_and_in_company(scorer: Scorer) -> None:
    texts = ["good", "it is a bad and awful product", "😀", "okay " * 14]
    assert scorer.score(texts) == [scorer.score([text])[0] for text in texts]


def test_several_threads_get_the_answers_of_one(scorer: Scorer) -> None:
    texts = [f"{word} product" for word in ("good", "bad", "okay", "love")] * 50
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(scorer.score_one, texts)) == scorer.score(texts)


def test_logits_are_the_scores_before_softmax_and_temperature(scorer: Scorer) -> None:
    logits = scorer.logits(["good", "bad"])

    assert logits.shape == (2, 3)
    shares = np.exp(logits[0]) / np.exp(logits[0]).sum()
    assert shares.tolist() == pytest.approx(
        list(scorer.score_one("good").scores.values()), abs=1e-6
    )
    assert scorer.logits([]).shape == (0, 3)


def test_the_temperature_softens_the_scores(tmp_path: Path) -> None:
    folder = build_artifact(tmp_path / "built").folder
    config = (folder / CONFIG).read_text()
    sharp = Scorer.load(folder).score_one("good")
    (folder / CONFIG).write_text(config.replace('"temperature":1.0', '"temperature":2.0'))

    soft = Scorer.load(folder).score_one("good")

    assert soft.label == sharp.label
    assert soft.score < sharp.score


def test_truncation_is_reported_from_the_first_token_that_is_not_read(scorer: Scorer) -> None:
    fits = scorer.config.max_length - 2  # [CLS] and [SEP]
    assert not scorer.score_one("good " * fits).truncated
    assert scorer.score_one("good " * (fits + 1)).truncated


def test_megabytes_without_a_blank_are_truncated_not_tokenised(scorer: Scorer) -> None:
    answer = scorer.score_one("x" * 5_000_000)
    assert answer.truncated
    assert answer == scorer.score_one("x" * 1_000_000)


def test_versions_that_live_side_by_side_share_their_tokenizer(
    scorer: Scorer, tmp_path: Path
) -> None:
    alike = build_artifact(tmp_path / "alike", strength=1.0, max_length=scorer.config.max_length)
    longer = build_artifact(tmp_path / "longer", max_length=scorer.config.max_length + 8)

    assert Scorer.load(alike.folder, beside=[scorer]).vocabulary is scorer.vocabulary
    other = Scorer.load(longer.folder, beside=[scorer])
    assert other.vocabulary is not scorer.vocabulary
    text = "good " * (scorer.config.max_length + 1)
    assert (other.score_one(text).truncated, scorer.score_one(text).truncated) == (False, True)


def test_golden_predictions_are_reproduced(scorer: Scorer) -> None:
    scorer.verify_golden()


@pytest.mark.parametrize(
    ("golden", "complaint"),
    [
        ("", "is empty"),
        ("{broken", "line 1 is not valid"),
        ('{"text": "good", "label": "positive"}', "line 1 is not valid: scores: Field required"),
        (
            '{"text": "good", "label": "positive", "scores": {"positive": 1.0}}',
            r"line 1 has scores for \['positive'\], the model has the labels",
        ),
        (
            '{"text": "good", "label": "negative", "scores": {"negative": 0.9, "neutral": 0.05, "positive": 0.05}}',
            "golden prediction 1 is not reproduced: expected negative, got positive",
        ),
        (
            '{"text": "good", "label": "positive", "scores": {"negative": 0, "neutral": 0, "positive": 1}}',
            r"scores differ by up to 0\.\d+ \(allowed 0\.01\)",
        ),
    ],
)
def test_golden_predictions_that_are_not_reproduced_refuse_the_artifact(
    tmp_path: Path, golden: str, complaint: str
) -> None:
    folder = build_artifact(tmp_path / "built").folder
    (folder / GOLDEN).write_text(golden)
    with pytest.raises(ArtifactError, match=complaint):
        Scorer.load(folder).verify_golden()


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        (CONFIG, "{broken", r"config\.json is not valid"),
        (CONFIG, "{}", r"config\.json is not valid: labels: Field required"),
        (TOKENIZER, "{}", r"tokenizer\.json cannot be read"),
        (MODEL, "no protobuf", r"model\.onnx cannot be loaded"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, name: str, content: str, complaint: str
) -> None:
    folder = build_artifact(tmp_path / "built").folder
    (folder / name).write_text(content)
    with pytest.raises(ArtifactError, match=complaint):
        Scorer.load(folder)


def test_a_graph_with_another_number_of_labels_is_refused(tmp_path: Path) -> None:
    folder = build_artifact(tmp_path / "built", graph_labels=2).folder
    with pytest.raises(ArtifactError, match=r"logits of shape \(2,\), config.json names 3 labels"):
        Scorer.load(folder)


def test_a_graph_with_other_inputs_is_refused(tmp_path: Path) -> None:
    import onnx

    folder = build_artifact(tmp_path / "built").folder
    model = onnx.load(folder / MODEL)
    model.graph.input.append(
        onnx.helper.make_tensor_value_info("token_type_ids", onnx.TensorProto.INT64, [1])
    )
    onnx.save(model, folder / MODEL)
    with pytest.raises(ArtifactError, match=r"it takes .*token_type_ids"):
        Scorer.load(folder)


CASCADE = FastPath(temperature=1.0, threshold=0.8)


@pytest.fixture(scope="module")
def cascade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cascade") / "built"
    return build_artifact(folder, fast_path=CASCADE).folder


def test_the_student_answers_what_it_is_sure_of_and_the_full_model_the_rest(cascade: Path) -> None:
    both, alone = Scorer.load(cascade), Scorer.load(cascade, fast_path=False)
    both.verify_golden()
    clear, faint = both.score(["good great love", "good"])

    assert (clear.label, clear.path) == ("positive", "fast")
    assert clear.score < alone.score_one("good great love").score
    assert faint == alone.score_one("good")
    assert faint.path == "full"
    assert np.array_equal(both.logits(["good great love"]), alone.logits(["good great love"]))


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda path: path.unlink(), r"names a fast path, and student\.onnx is missing"),
        (lambda path: path.write_text("no protobuf"), r"student\.onnx cannot be loaded"),
        (
            lambda path: path.write_bytes(_graph_of_two_labels(path)),
            r"student\.onnx gives logits of shape \(2,\), config\.json names 3 labels",
        ),
    ],
)
def test_a_student_that_cannot_answer_refuses_the_artifact_unless_it_is_not_asked(
    tmp_path: Path, damage: Callable[[Path], object], complaint: str
) -> None:
    folder = build_artifact(tmp_path / "built", fast_path=CASCADE).folder
    damage(folder / STUDENT)

    with pytest.raises(ArtifactError, match=complaint):
        Scorer.load(folder)
    assert not Scorer.load(folder, fast_path=False).has_fast_path


def test_a_config_without_a_fast_path_is_one_that_older_servers_read(tmp_path: Path) -> None:
    folder = build_artifact(tmp_path / "built").folder
    assert "fast_path" not in (folder / CONFIG).read_text()


def _graph_of_two_labels(student: Path) -> bytes:
    other = build_artifact(student.parent.parent / "two", graph_labels=2).folder
    return (other / MODEL).read_bytes()
