"""Makes the tokenizer of a loaded checkpoint fit its network, or says that it does not."""

from pathlib import Path
from typing import TYPE_CHECKING

from mlbench.errors import RetrieverError

if TYPE_CHECKING:
    from sentence_transformers.base.model import BaseModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


# What BERT and RoBERTa, GPT-2, and BART and OPT call their tables of positions.
_POSITIONS = ("position_embeddings", "wpe", "embed_positions")


def fit_tokenizer(model: "BaseModel", folder: Path) -> list[str]:
    """Give a model's tokenizer a padding token and a limit where it has none; return what a user should know of it.

    Word embeddings and bags of words are left as they are. Raises `RetrieverError` where a tokenizer has tokens that
    its network has no vectors for.
    """
    from sentence_transformers.base.modules import Transformer
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    told = []
    for module in model.modules():
        if not isinstance(module, Transformer) or not isinstance(module.tokenizer, PreTrainedTokenizerBase):
            continue
        told += _give_padding(module.tokenizer)
        if not isinstance(module.model, PreTrainedModel):
            # A graph says nothing of what it was made of.
            continue
        limit = positions_of(module.model)
        if limit is not None and (module.max_seq_length is None or module.max_seq_length > limit):
            module.max_seq_length = limit
        _check_tokens(module.model, module.tokenizer, folder)
    return list(dict.fromkeys(told))


def _give_padding(tokenizer: "PreTrainedTokenizerBase") -> list[str]:
    """Let a tokenizer without a padding token pad with the end of the text, which the attention mask leaves out."""
    if tokenizer.pad_token is not None:
        return []
    tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
    return [f"the tokenizer has no padding token, and {tokenizer.pad_token} is taken"]


def positions_of(network: "PreTrainedModel") -> int | None:
    """Return how many tokens a network with a table of positions takes; None where it has no such table.

    Networks of RoBERTa's kind number positions from `padding_idx + 1` on, those of BART's kind from an offset, and have
    as many fewer.
    """
    import torch

    for module in network.modules():
        for name in _POSITIONS:
            table = getattr(module, name, None)
            if isinstance(table, torch.nn.Embedding):
                padding = getattr(module, "padding_idx", None)
                first = padding + 1 if isinstance(padding, int) and name == _POSITIONS[0] else 0
                return int(table.num_embeddings) - int(getattr(table, "offset", first))
    return None


def _check_tokens(network: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", folder: Path) -> None:
    """Raise `RetrieverError` where a token of the vocabulary, or one that is put around texts, has no vector.

    Tokens that were added for other uses may have none.
    """
    import torch

    try:
        table = network.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return
    if not isinstance(table, torch.nn.Embedding) or len(tokenizer) <= table.num_embeddings:
        return
    used = {tokenizer.pad_token_id, *tokenizer("a")["input_ids"]}
    added = {token for token, number in tokenizer.get_added_vocab().items() if number not in used}
    beyond = {token: number for token, number in tokenizer.get_vocab().items() if number >= table.num_embeddings}
    lacking = sorted(beyond.keys() - added, key=beyond.__getitem__)
    if lacking:
        raise RetrieverError(
            f"{folder}: the network has no vector for {len(lacking):,} of the tokenizer's tokens, such as "
            f"{lacking[0]!r}: save the tokenizer that the model was trained with, or resize its embeddings"
        )
