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
    return {kind: nodes.count(kind) for kind in ("MatMul", "MatMulInteger")}


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

    always = 2 * 2 + 1  # two products of activations a layer, and the head
    assert products(tmp_path / "fp32") == {"MatMul": always - 1 + 12, "MatMulInteger": 0}
    assert products(tmp_path / "int8") == {"MatMul": always, "MatMulInteger": 12}
    assert products(tmp_path / "mixed") == {"MatMul": always + 2, "MatMulInteger": 10}


def test_with_a_scale_by_token_the_company_of_other_texts_changes_no_answer(
    tmp_path: Path,
) -> None:
    import onnxruntime

    from sentops_trainer.engine.export import export_int8, torch_logits

    classifier = a_classifier()
    errors = {}
    for by_token in (False, True):
        export_int8(classifier, tmp_path / "model", by_token=by_token)
        found = answered(tmp_path / "model", TEXTS)
        errors[by_token] = np.abs(found - torch_logits(classifier, TEXTS)).mean()
    assert errors[True] < errors[False]
    session = onnxruntime.InferenceSession(tmp_path / "model", providers=["CPUExecutionProvider"])
    alike = [TEXTS[2], [*TEXTS[2][:-2], 49, 3]]
    batch = {"input_ids": alike, "attention_mask": np.ones_like(alike)}
    together = session.run(["logits"], batch)[0]
    assert together == pytest.approx(answered(tmp_path / "model", alike), abs=1e-5)


def test_what_8_bits_move_in_torch_they_move_in_the_graph(tmp_path: Path) -> None:
    """So that the search, which exports nothing, finds the matrices that the served graph would suffer by."""
    from sentops_trainer.engine.export import export_int8
    from sentops_trainer.engine.quantisation import measure_groups

    classifier = a_classifier()
    groups = measure_groups(classifier, TEXTS)
    assert len(groups) == 2 * 4
    assert sum(group.share for group in groups) == pytest.approx(1)
    every = {matrix for group in groups for matrix in group.matrices}
    export_int8(classifier, tmp_path / "float", in_float=every, by_token=True)
    exact = answered(tmp_path / "float", TEXTS)
    for group in groups:
        export_int8(
            classifier, tmp_path / "one", in_float=every - set(group.matrices), by_token=True
        )
        moved = float(np.abs(answered(tmp_path / "one", TEXTS) - exact).mean())
        assert moved == pytest.approx(group.shift, rel=0.3)


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
