"""Tiny networks with random weights, as the libraries save them, for texts of a few words."""

import random
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

WORDS = ["the", "cat", "sat", "on", "a", "mat", "Straße", "größte", "世界", "最高", "ทดสอบ", "книга", "где?", "1984"]
TEXTS = [" ".join(random.Random(i).choices(WORDS, k=1 + i % 23)) for i in range(60)]
SMALL = {"vocab_size": 150, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
LARGER = {"intermediate_size": 64, "max_position_embeddings": 64, "initializer_range": 0.4}


def save_tokenizer(folder: Path) -> None:
    """Write a tokenizer of pairs of letters that knows the words."""
    from transformers import PreTrainedTokenizerFast

    built = Tokenizer(models.BPE(unk_token="[UNK]"))
    built.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    built.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=150, special_tokens=specials))
    built.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {f"{name.strip('[]').lower()}_token": name for name in specials}
    PreTrainedTokenizerFast(tokenizer_object=built, model_max_length=64, **names).save_pretrained(folder)


def save_bert(folder: Path, name: str, seed: int = 1, **options: Any) -> Path:
    """Write a random BERT of the class `name`, such as `BertForMaskedLM`."""
    import torch
    import transformers

    torch.manual_seed(seed)
    model = getattr(transformers, name)(transformers.BertConfig(**{**SMALL, **LARGER, **options}))
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return folder
