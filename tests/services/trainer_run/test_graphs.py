"""Which graph an artefact carries, and that the leaner and the coarser ones answer as the full one does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.support.training_runs import Done

pytestmark = pytest.mark.torch
SIZE = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
TEXTS = [[2, *range(5, 5 + length), 3] for length in (1, 4, 17, 40)]


def a_classifier(architecture: str = "Bert", *, pooling: str = "cls", **changes: Any) -> Any:
    import torch
    import transformers

    from sentops_trainer.engine.classifier import Classifier, TokenTable

    torch.manual_seed(3)
    config = getattr(transformers, f"{architecture}Config")(**SIZE | changes)
    encoder = getattr(transformers, f"{architecture}Model")(config)
    encoder.pooler = None
    encoder.set_input_embeddings(TokenTable(encoder.get_input_embeddings().weight))
    classifier = Classifier(encoder, pooling=pooling, hidden=32, labels=3).eval()
    for parameter in classifier.parameters():  # fresh layers hardly differ from one another
        torch.nn.init.normal_(parameter, std=0.2)
    return classifier


def products(path: Path) -> dict[str, int]:
    nodes = [node.op_type for node in onnx.load(path).graph.node]
    kinds = ("MatMul", "MatMulInteger", "DynamicQuantizeMatMul")
    return {kind: nodes.count(kind) for kind in kinds if kind in nodes}


def answered(path: Path, rows: list[list[int]]) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert {(one.name, one.type) for one in session.get_inputs()} == {
        ("input_ids", "tensor(int64)"),
        ("attention_mask", "tensor(int64)"),
    }
    return np.stack(
        [
            session.run(["logits"], {"input_ids": [row], "attention_mask": [[1] * len(row)]})[0][0]
            for row in rows
        ]
    )


@pytest.mark.parametrize("architecture", ["Bert", "XLMRoberta", "Roberta", "Electra", "Camembert"])
def test_a_last_layer_that_computes_the_first_token_alone_gives_the_same_logits(
    architecture: str, tmp_path: Path
) -> None:
    from sentops_trainer.engine.export import export_float, torch_logits
    from sentops_trainer.engine.first_token import reading_first_token

    classifier = a_classifier(architecture)
    leaner = reading_first_token(classifier)
    assert leaner is not None
    export_float(leaner, tmp_path / "model.onnx")

    expected = torch_logits(classifier, TEXTS)
    assert np.abs(expected).max() > 0.1
    assert answered(tmp_path / "model.onnx", TEXTS) == pytest.approx(expected, abs=1e-5)


def test_in_a_padded_batch_the_leaner_layer_reads_no_padding() -> None:
    import torch

    from sentops_trainer.engine.first_token import reading_first_token

    classifier = a_classifier()
    leaner = reading_first_token(classifier)
    assert leaner is not None
    tokens = torch.tensor([[2, 7, 8, 9, 3], [2, 7, 3, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    with torch.inference_mode():
        assert torch.allclose(leaner(tokens, mask), classifier(tokens, mask), atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "pooling", "changes"),
    [
        ("Bert", "mean", {}),
        ("MPNet", "cls", {}),
        ("DebertaV2", "cls", {}),
        ("XLMRobertaXL", "cls", {}),
        ("Albert", "cls", {"embedding_size": 16}),
    ],
)
def test_other_builds_and_mean_pooling_keep_their_full_last_layer(
    architecture: str, pooling: str, changes: dict[str, Any]
) -> None:
    from sentops_trainer.engine.first_token import reading_first_token

    assert reading_first_token(a_classifier(architecture, pooling=pooling, **changes)) is None


def test_the_leaner_copy_shares_the_weights_and_leaves_the_original_as_it_is() -> None:
    from sentops_trainer.engine.first_token import FirstTokenLayer, reading_first_token

    classifier = a_classifier()
    leaner = reading_first_token(classifier)
    assert leaner is not None
    encoder: Any = leaner.encoder
    assert isinstance(encoder.encoder.layer[-1], FirstTokenLayer)
    assert not any(isinstance(module, FirstTokenLayer) for module in classifier.modules())
    assert {id(one) for one in leaner.parameters()} == {id(one) for one in classifier.parameters()}


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_the_matrices_named_stay_in_float_and_all_others_do_not(
    pooling: str, tmp_path: Path
) -> None:
    from sentops_trainer.engine.export import export_float, export_int8
    from sentops_trainer.engine.first_token import reading_first_token

    classifier = a_classifier(pooling=pooling)
    classifier = reading_first_token(classifier) or classifier
    names = [f"encoder.encoder.layer.{layer}.output.dense" for layer in (0, 1)]
    for name, in_float in {"int8": (), "mixed": names}.items():
        export_int8(classifier, tmp_path / name, in_float=in_float)
    export_float(classifier, tmp_path / "fp32")

    # Of a padded batch, which an 8-bit graph never sees, it is a product, too.
    mean = pooling == "mean"
    # Query, key and value at once; where only the first token asks, key and value.
    each = 2 * 4 + (not mean)
    assert products(tmp_path / "fp32") == {"MatMul": each + mean}
    assert products(tmp_path / "int8") == {"DynamicQuantizeMatMul": each}
    assert products(tmp_path / "mixed") == {"MatMul": 2, "DynamicQuantizeMatMul": each - 2}


def test_a_traced_graph_leaves_the_same_matrices_in_float(tmp_path: Path) -> None:
    from sentops_trainer.engine.export import torch_logits, trace_float, trace_int8

    classifier = a_classifier("MPNet", pooling="mean")
    names = [f"encoder.encoder.layer.{layer}.output.dense" for layer in (0, 1)]
    trace_float(classifier, tmp_path / "fp32")
    trace_int8(classifier, tmp_path / "mixed", in_float=names)

    assert answered(tmp_path / "fp32", TEXTS) == pytest.approx(
        torch_logits(classifier, TEXTS), abs=1e-5
    )
    assert products(tmp_path / "fp32") == {"MatMul": 2 * 2 + 12}
    # two products of activations a layer, and the head
    assert products(tmp_path / "mixed") == {"MatMul": 2 * 2 + 1 + 2, "MatMulInteger": 10}


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [("MPNet", {}), ("Albert", {"embedding_size": 16}), ("Bert", {"hidden_act": "relu"})],
)
def test_other_builds_are_not_written_layer_by_layer(
    architecture: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    from sentops_trainer.engine.export import export_float
    from sentops_trainer.engine.lean_graph import OtherBuild

    with pytest.raises(OtherBuild):
        export_float(a_classifier(architecture, pooling="mean", **changes), tmp_path / "fp32")


@pytest.mark.parametrize("architecture", ["Bert", "XLMRoberta"])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_padding_in_a_batch_changes_no_float32_answer(
    architecture: str, pooling: str, tmp_path: Path
) -> None:
    import onnxruntime

    from sentops_trainer.engine.export import export_float, torch_logits

    classifier = a_classifier(architecture, pooling=pooling)
    export_float(classifier, tmp_path / "model")
    padding, width = classifier.encoder.config.pad_token_id, max(map(len, TEXTS))
    given = {
        "input_ids": [row + [padding] * (width - len(row)) for row in TEXTS],
        "attention_mask": [[1] * len(row) + [0] * (width - len(row)) for row in TEXTS],
    }
    session = onnxruntime.InferenceSession(tmp_path / "model", providers=["CPUExecutionProvider"])
    assert session.run(["logits"], given)[0] == pytest.approx(
        torch_logits(classifier, TEXTS), abs=1e-5
    )


def test_no_two_neighbouring_weights_overflow_16_bits() -> None:
    """What vpmaddubsw of AVX2 adds up; the activations beside them may be 255."""
    from sentops_trainer.engine.lean_graph import weight_steps

    weight = np.random.default_rng(1).normal(size=(64, 33)).astype(np.float32)
    rounded = np.round(weight / weight_steps(weight)[:, None]).astype(int)
    assert np.abs(rounded).max() > 64  # a single one may be larger than half
    assert (rounded == rounded.astype(np.int8)).all()
    pairs = rounded[:, :32].reshape(64, 16, 2)
    assert 255 * np.maximum(pairs, 0).sum(axis=2).max() < 2**15
    assert 255 * np.minimum(pairs, 0).sum(axis=2).min() >= -(2**15)


def test_large_tensors_stand_apart_and_are_found_wherever_both_files_lie(tmp_path: Path) -> None:
    from sentops_core.domain.artifact import MODEL, WEIGHTS
    from sentops_trainer.engine.export import export_float, torch_logits

    classifier = a_classifier(vocab_size=5000)
    expected = torch_logits(classifier, TEXTS)
    (tmp_path / "made").mkdir()
    for _ in range(2):  # the second replaces the first
        export_float(classifier, tmp_path / "made" / MODEL)
    (tmp_path / "made").rename(tmp_path / "moved")

    table = 5000 * 32 * 2  # in half precision
    assert table <= (tmp_path / "moved" / WEIGHTS).stat().st_size < 1.1 * table
    assert (tmp_path / "moved" / MODEL).stat().st_size < table
    assert answered(tmp_path / "moved" / MODEL, TEXTS) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_smoothing_is_exact_in_float32_and_spares_8_bits_an_outlying_channel(
    pooling: str, tmp_path: Path
) -> None:
    import torch

    from sentops_trainer.engine.export import export_int8, torch_logits
    from sentops_trainer.engine.lean_graph import Precision, write_graph
    from sentops_trainer.engine.smoothing import measure_smoothing

    classifier = a_classifier(pooling=pooling)
    with torch.no_grad():  # as an encoder's few channels that are many times the others
        for layer in classifier.encoder.encoder.layer:
            layer.attention.output.LayerNorm.weight[3] *= 60
            layer.intermediate.dense.weight[:, 3] /= 60
    expected = torch_logits(classifier, TEXTS)
    smoothing = measure_smoothing(classifier, TEXTS)
    assert {f"encoder.encoder.layer.{layer}.intermediate.dense" for layer in (0, 1)} <= {*smoothing}

    write_graph(classifier, tmp_path / "float", Precision(smoothing=smoothing))
    assert answered(tmp_path / "float", TEXTS) == pytest.approx(expected, abs=1e-4)
    errors = []
    for by in ({}, smoothing):
        export_int8(classifier, tmp_path / "int8", smoothing=by)
        errors.append(np.abs(answered(tmp_path / "int8", TEXTS) - expected).mean())
    assert errors[1] < 0.7 * errors[0]


def test_with_a_scale_by_token_the_company_of_other_texts_changes_no_answer(
    tmp_path: Path,
) -> None:
    import onnxruntime

    from sentops_trainer.engine.export import torch_logits, trace_int8

    classifier = a_classifier()
    errors = {}
    for by_token in (False, True):
        trace_int8(classifier, tmp_path / "model", by_token=by_token)
        found = answered(tmp_path / "model", TEXTS)
        errors[by_token] = np.abs(found - torch_logits(classifier, TEXTS)).mean()
    assert errors[True] < errors[False]
    session = onnxruntime.InferenceSession(tmp_path / "model", providers=["CPUExecutionProvider"])
    alike = [TEXTS[2], [*TEXTS[2][:-2], 49, 3]]
    batch = {"input_ids": alike, "attention_mask": np.ones_like(alike)}
    together = session.run(["logits"], batch)[0]
    assert together == pytest.approx(answered(tmp_path / "model", alike), abs=1e-5)


@pytest.mark.parametrize("traced", [False, True])
def test_what_8_bits_move_in_torch_they_move_in_the_graph(tmp_path: Path, *, traced: bool) -> None:
    """So that the search, which exports nothing, finds the matrices that the served graph would suffer by."""
    from sentops_trainer.engine.export import export_int8, trace_int8
    from sentops_trainer.engine.quantisation import measure_groups
    from sentops_trainer.engine.smoothing import measure_smoothing

    classifier = a_classifier()
    smoothing = None if traced else measure_smoothing(classifier, TEXTS)

    def moved_by(path: Path, in_float: set[str]) -> Any:
        if traced:
            trace_int8(classifier, path, in_float=in_float, by_token=True)
        else:
            export_int8(classifier, path, in_float=in_float, smoothing=smoothing)
        return answered(path, TEXTS)

    groups = measure_groups(classifier, TEXTS, smoothing)
    assert len(groups) == 2 * 4
    assert sum(group.share for group in groups) == pytest.approx(1)
    every = {matrix for group in groups for matrix in group.matrices}
    exact = moved_by(tmp_path / "float", every)
    for group in groups:
        found = moved_by(tmp_path / "one", every - set(group.matrices))
        assert float(np.abs(found - exact).mean()) == pytest.approx(group.shift, rel=0.3)


def test_most_shift_for_least_work_stays_in_float_within_the_budget() -> None:
    from sentops_trainer.engine.quantisation import Group, worth_keeping

    dear = Group("dear", ("a",), shift=0.5, share=0.5)
    cheap = Group("cheap", ("b",), shift=0.3, share=0.1)
    idle = Group("idle", ("c",), shift=0.0, share=0.1)
    groups = [dear, idle, cheap]

    assert worth_keeping(groups, 0.05) == []
    assert worth_keeping(groups, 0.5) == [cheap]
    assert worth_keeping(groups, 0.6) == [cheap, dear]


def test_measuring_leaves_the_classifier_as_it_was() -> None:
    from sentops_trainer.engine.export import torch_logits
    from sentops_trainer.engine.quantisation import measure_groups

    classifier = a_classifier()
    before = torch_logits(classifier, TEXTS)
    measure_groups(classifier, TEXTS)
    assert (torch_logits(classifier, TEXTS) == before).all()


def a_graph(precision: Any, milliseconds: float, *, megabytes: int = 1, passed: bool = True) -> Any:
    from sentops_trainer.engine.parity import Tried

    return Tried(precision, "8 bits by text", (), 1.0, 0.0, megabytes * 10**6, milliseconds, passed)


@pytest.mark.parametrize(
    ("int8", "mixed", "chosen"),
    [
        ((4.0, True), None, "int8"),
        ((4.0, False), None, "fp32"),
        ((4.0, False), (6.0, True), "mixed"),
        ((4.0, False), (6.0, False), "fp32"),
        ((9.0, True), None, "fp32"),  # of two that pass the faster one
        ((7.2, True), None, "int8"),  # as fast as no other to the eye, and a quarter of the size
    ],
)
def test_the_cheapest_of_those_that_pass_serves(
    int8: tuple[float, bool], mixed: tuple[float, bool] | None, chosen: str
) -> None:
    from sentops_trainer.engine.parity import cheapest

    tried = [a_graph("fp32", 7.0, megabytes=80), a_graph("int8", int8[0], passed=int8[1])]
    if mixed:
        tried.append(a_graph("mixed", mixed[0], megabytes=40, passed=mixed[1]))
    assert tried[cheapest(tried)].precision == chosen


@pytest.fixture(scope="module")
def first_token_base(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import shutil

    folder = tmp_path_factory.mktemp("cls") / "base"
    shutil.copytree(tiny_base, folder)
    (folder / "base.json").write_text(json.dumps({"pooling": "cls"}))
    return folder


def parity_of(done: Done) -> Any:
    return json.loads((done.folder / "artifact" / "metrics.json").read_text())["parity"]


def test_metrics_tell_each_graph_that_was_tried_and_which_last_layer_serves(
    linear: Done, train: Callable[..., Done], first_token_base: Path
) -> None:
    first_token = train(base_model_uri=first_token_base.as_uri())

    assert parity_of(linear)["last_layer"] == "all tokens"
    assert parity_of(linear)["layout"] == "layer by layer"
    parity = parity_of(first_token)
    assert parity["last_layer"] == "first token"
    assert parity["fp32_max_difference"] < 1e-3
    assert [one["precision"] for one in parity["tried"]][:2] == ["fp32", "int8"]
    for one in parity["tried"]:
        assert one["passed"] == (one["agreement"] >= 0.985 and one["macro_f1_drop"] <= 0.005)
        assert one["milliseconds"] > 0
    config = json.loads((first_token.folder / "artifact" / "config.json").read_text())
    assert config["precision"] == parity["chosen"]
    assert any(one["passed"] for one in parity["tried"] if one["precision"] == parity["chosen"])
