"""Tiny random encoders of real shapes, and a small parallel set to train them on."""

import json
import random
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, processors

from mlbench.training.data import TrainingData, load_data
from mlbench.training.recipe import Recipe
from mlbench.training.recipe_tables import DataSet

LANGUAGES = ("de", "en", "fr")
CONCEPTS = 40
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def sentence(concepts: Iterable[int], language: str) -> str:
    return " ".join(f"{language}{concept}" for concept in concepts)


def write_rows(path: Path, n: int, *, negatives: bool = False, seed: int = 0) -> None:
    """Write `n` topics in all languages: parallel texts, or queries and documents with a hard negative in some rows."""
    draw = random.Random(seed)
    with path.open("w", encoding="utf-8") as lines:
        for number in range(n):
            topic = draw.sample(range(CONCEPTS), 8)
            row: dict[str, object] = {"id": f"t{number}"}
            if negatives:
                row["queries"] = {tag: sentence(topic[:3], tag) for tag in LANGUAGES}
                row["passages"] = {tag: sentence(topic[3:], tag) for tag in LANGUAGES}
                if number % 3:
                    other = draw.sample(range(CONCEPTS), 5)
                    row["negatives"] = {tag: [sentence(other, tag)] for tag in LANGUAGES}
            else:
                row["texts"] = {tag: sentence(topic, tag) for tag in LANGUAGES}
            lines.write(json.dumps(row) + "\n")


def read_data(recipe: Recipe) -> TrainingData:
    """Return the data of a recipe that has no faults."""
    data, faults = load_data(recipe)
    assert data is not None, faults
    assert faults == []
    return data


def recipe_of(checkpoint: Path, data: Path, **changes: object) -> Recipe:
    """Return a recipe of a few steps; `changes` replace its tables."""
    table: dict[str, object] = {
        "name": "tiny",
        "seed": 3,
        "steps": 12,
        "languages": list(LANGUAGES),
        "transformer": {"checkpoint": str(checkpoint)},
        "batches": {"size": 8},
        "optimizer": {"learning_rate": 3e-3, "weight_decay": 0.01},
        "datasets": [DataSet.model_validate({"name": "rows", "files": [{"path": data.name}]}).model_dump()],
        **changes,
    }
    recipe = Recipe.model_validate(table)
    recipe._root = data.parent
    return recipe


def tokenizer() -> Tokenizer:
    """Return a tokenizer that knows each word of the set, and wraps texts as XLM-R does."""
    words = [*SPECIAL, "Query:", "Passage:", "a", *(f"{tag}{i}" for tag in LANGUAGES for i in range(CONCEPTS))]
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return made


def save_encoder(folder: Path, shape: str = "xlm-roberta", *, dropout: float = 0.1) -> Path:
    """Save an encoder with random weights: `xlm-roberta`, `bert` or `mt5`."""
    import torch
    import transformers

    torch.manual_seed(0)
    made = tokenizer()
    size = {"vocab_size": made.get_vocab_size(), "pad_token_id": 1}
    small = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 40,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
    }
    if shape == "mt5":
        model = transformers.MT5EncoderModel(
            transformers.MT5Config(**size, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, dropout_rate=dropout)
        )
    elif shape == "bert":
        model = transformers.BertModel(transformers.BertConfig(**size, **small))
    else:
        model = transformers.XLMRobertaModel(transformers.XLMRobertaConfig(**size, **small, type_vocab_size=1))
    model.save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=32,
    ).save_pretrained(folder)
    return folder
