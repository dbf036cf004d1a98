"""A trained classifier as an ordinary transformers model in an ordinary folder: what the reference server serves."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel, PreTrainedTokenizerFast
from transformers.modeling_outputs import SequenceClassifierOutput

if TYPE_CHECKING:
    from sentops_trainer.engine.classifier import Classifier
    from sentops_trainer.engine.encoding import Encoder

WEIGHTS = "model.safetensors"
_ABOUT = "about.json"


class PooledClassifier(PreTrainedModel):  # type: ignore[no-untyped-call]
    """The encoder, mean or first-token pooling, and a linear head, with logits as the text-classification pipeline wants."""

    _supports_sdpa = True  # its encoder does

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.encoder = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
        if hasattr(self.encoder, "pooler"):
            self.encoder.pooler = None  # the head reads the tokens themselves
        self.head = nn.Linear(config.hidden_size, config.num_labels)

    @classmethod
    def opened(cls, folder: Path) -> Self:
        model = cls(AutoConfig.from_pretrained(folder))
        model.load_state_dict(load_file(folder / WEIGHTS))
        model.eval()  # type: ignore[no-untyped-call]
        return model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SequenceClassifierOutput:
        tokens = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        if self.config.sentops_pooling == "cls":
            features = tokens[:, 0]
        else:
            mask = attention_mask.unsqueeze(-1).to(tokens.dtype)
            features = (tokens * mask).sum(dim=1) / mask.sum(dim=1)
        return SequenceClassifierOutput(logits=self.head(features))


def tokenizer_in(folder: Path) -> Any:
    return PreTrainedTokenizerFast.from_pretrained(folder)


def prefix_in(folder: Path) -> str:
    return str(json.loads((folder / _ABOUT).read_text())["prefix"])


def save_plain(
    classifier: "Classifier", encoder: "Encoder", labels: tuple[str, ...], folder: Path
) -> None:
    """The classifier's float32 weights, its tokenizer, and how it wants its texts."""
    folder.mkdir(parents=True, exist_ok=True)
    config = classifier.encoder.config
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    config.sentops_pooling = classifier.pooling
    config.save_pretrained(folder)
    table = classifier.encoder.get_input_embeddings().weight
    weights = {name: value.float() for name, value in classifier.state_dict().items()}
    weights[_name_of_table(config)] = table.float()
    save_file(
        {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()},
        folder / WEIGHTS,
    )
    _save_tokenizer(encoder, folder)
    (folder / _ABOUT).write_text(json.dumps({"prefix": encoder.prefix}))


def _name_of_table(config: Any) -> str:
    """What transformers calls the token table in this kind of encoder."""
    with torch.device("meta"):
        empty = PooledClassifier(config)
    table = empty.encoder.get_input_embeddings().weight
    return next(name for name, parameter in empty.named_parameters() if parameter is table)


def _save_tokenizer(encoder: "Encoder", folder: Path) -> None:
    tokenizer = Tokenizer.from_str(encoder.tokenizer.to_str())
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        model_max_length=encoder.max_length,
        pad_token=tokenizer.id_to_token(encoder.pad_token_id),
        model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(folder)


class _Logits(nn.Module):
    """As tensors in, one tensor out."""

    def __init__(self, model: PooledClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        found: Tensor = self.model(input_ids, attention_mask).logits
        return found


def as_onnx(folder: Path) -> Path:
    """The model in the folder as a float32 graph beside it, made once: for servers that run no torch."""
    path = folder / "model.onnx"
    if path.is_file():
        return path
    from sentops_trainer.engine.tracing import trace  # noqa: PLC0415 - the reference server needs nothing of ours

    model = _Logits(PooledClassifier.opened(folder))
    unfinished = path.with_suffix(".part")
    trace(model, unfinished)
    return unfinished.rename(path)


if __name__ == "__main__":
    print(json.dumps({"path": str(as_onnx(Path(sys.argv[1])))}))
