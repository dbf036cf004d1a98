"""A base model small enough to train for real in a second: two layers of 32, words for pieces, random weights."""

from pathlib import Path

SENTIMENT_WORDS = {
    "negative": ("bad", "broken", "pessimo"),
    "neutral": ("okay", "average", "normale"),
    "positive": ("good", "lovely", "ottimo"),
}
FILLERS = ("the", "product", "arrived", "today", "it", "was", "and", "box", "il", "prodotto", "era")
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def build_tiny_base(folder: Path, *, seed: int = 0) -> Path:
    """A BertModel folder that AutoModel and tokenizers load."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    words = [word for group in SENTIMENT_WORDS.values() for word in group]
    vocabulary = {word: number for number, word in enumerate((*_SPECIAL, *FILLERS, *words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        pad_token_id=vocabulary["[PAD]"],
    )
    model = BertModel(config)
    # Word vectors that stand out from positions and layers: their mean says which words a text has.
    torch.nn.init.normal_(model.embeddings.word_embeddings.weight)
    torch.nn.init.zeros_(model.embeddings.position_embeddings.weight)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
