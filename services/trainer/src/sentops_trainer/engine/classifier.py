"""The network: an encoder, mean or first-token pooling, and a linear head; one module for both methods."""

from logging import ERROR

import torch
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoConfig,
    AutoModel,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging as transformers_logging

from sentops_trainer.base_models import BaseModel
from sentops_trainer.engine.dropout import (
    CheapDropout,
    make_dropout_cheap,
    without_attention_dropout,
)
from sentops_trainer.failures import BaseModelUnavailable

_HEAD_DROPOUT = 0.1
_LATE_POSITIONS = {"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "xmod"}


class TokenTable(nn.Module):
    """The frozen token embeddings, kept in half precision and out of checkpoints.

    In a multilingual base they are four fifths of all weights, and training them on a few thousand rows
    only moves the words that happen to occur.
    """

    weight: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight.detach().half(), persistent=False)

    def forward(self, input_ids: Tensor) -> Tensor:
        return nn.functional.embedding(input_ids, self.weight).float()


class Classifier(nn.Module):
    """`forward(input_ids, attention_mask)` gives logits; `features` what the head sees.

    `pooled_as_pretrained`: whether the features tell something before any training.
    """

    encoder: PreTrainedModel

    def __init__(
        self,
        encoder: PreTrainedModel,
        *,
        pooling: str,
        hidden: int,
        labels: int,
        pooled_as_pretrained: bool = True,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.pooled_as_pretrained = pooled_as_pretrained
        self.dropout = CheapDropout(_HEAD_DROPOUT)
        self.head = nn.Linear(hidden, labels)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        tokens: Tensor = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask
        ).last_hidden_state
        if self.pooling == "cls":
            return tokens[:, 0]
        mask = attention_mask.unsqueeze(-1).to(tokens.dtype)
        return (tokens * mask).sum(dim=1) / mask.sum(dim=1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.head(self.dropout(self.features(input_ids, attention_mask)))
        return logits

    @property
    def device(self) -> torch.device:
        return self.head.weight.device

    @property
    def longest_input(self) -> int:
        """Tokens the encoder has positions for."""
        config = self.encoder.config
        positions = int(getattr(config, "max_position_embeddings", 512))
        # RoBERTa's family counts positions from behind the padding id.
        counted_from = config.pad_token_id + 1 if config.model_type in _LATE_POSITIONS else 0
        return positions - counted_from


def load_classifier(base: BaseModel, *, labels: int, pooling: str) -> Classifier:
    """A classifier with the base's encoder and a fresh head; BaseModelUnavailable if it is no encoder."""
    transformers_logging.set_verbosity(ERROR)  # it warns of the pooler that we leave out
    try:
        config = AutoConfig.from_pretrained(base.folder)
        if _generates(config):
            raise BaseModelUnavailable(
                f"{base.uri} is a {config.model_type} model, which generates text: use an encoder, "
                "such as named://multilingual-small"
            )
        without_attention_dropout(config)
        encoder = AutoModel.from_pretrained(base.folder, config=config, dtype=torch.float32)
        table = encoder.get_input_embeddings()
        if not isinstance(table, nn.Embedding):
            raise BaseModelUnavailable(f"{base.uri} has no token embeddings: it is no text encoder")
    except (OSError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        raise BaseModelUnavailable(
            f"{base.uri} cannot be loaded as an encoder: {_first_line(error)}"
        ) from error
    encoder.set_input_embeddings(TokenTable(table.weight))
    make_dropout_cheap(encoder)
    if hasattr(encoder, "pooler"):
        encoder.pooler = None  # trained for another task, and never read here
    return Classifier(
        encoder,
        pooling=pooling,
        hidden=config.hidden_size,
        labels=labels,
        pooled_as_pretrained=pooling == base.pooling,
    )


def _generates(config: PreTrainedConfig) -> bool:
    """Whether the model reads from left to right only: of no use for mean pooling, and many times larger."""
    return bool(config.is_encoder_decoder) or (
        type(config) in MODEL_FOR_CAUSAL_LM_MAPPING
        and type(config) not in MODEL_FOR_MASKED_LM_MAPPING
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
