"""The longest input of models and tokenizers of the libraries."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mlbench.protocols import Role
from mlbench.retrievers.load_checkpoint import quiet
from mlbench.retrievers.truncation import CountTokens, Integers, TokenLimit

if TYPE_CHECKING:
    from sentence_transformers.base.model import BaseModel
    from transformers import PreTrainedTokenizerBase

ENDLESS = 1_000_000
"""Tokenizers without a limit state 10^30 tokens."""


def limit_of(model: "BaseModel", prompt: str, *, role: Role | None = None) -> TokenLimit:
    """Return the longest input of a model of sentence-transformers behind `prompt`; without a role it reads pairs."""

    def count(*columns: Sequence[str], **options: object) -> Integers:
        inputs = list(columns[0]) if role else list(zip(*columns, strict=True))
        task = {"task": role} if role else {}
        with quiet():
            features = model.preprocess(inputs, prompt=prompt or None, **task, **options)
        lengths: Integers = features["attention_mask"].sum(dim=1).cpu().numpy()
        return lengths

    def whole(*columns: Sequence[str]) -> Integers:
        endless = partial(count, processing_kwargs={"text": {"truncation": False}})
        try:
            return endless(*columns)
        except ValueError:
            if len(columns[0]) == 1:
                raise
            # Where rows are padded to the limit, those beyond it have no one length.
            return np.concatenate([endless(*([text] for text in row)) for row in zip(*columns, strict=True)])

    backend = getattr(getattr(model, "tokenizer", None), "backend_tokenizer", None)
    stated, columns = _stated(model, role), 1 if role else 2
    return TokenLimit(count, whole, stated, tokenizer=backend, prompt=prompt, columns=columns)


def whole_texts(tokenizer: "PreTrainedTokenizerBase") -> CountTokens:
    """Return what counts the tokens of texts by a tokenizer of transformers that cuts nothing off."""

    def count(texts: Sequence[str]) -> Integers:
        with quiet():
            rows = tokenizer(list(texts), truncation=False)["input_ids"]
        return np.fromiter(map(len, rows), np.int64, len(rows))

    return count


def _stated(model: "BaseModel", role: Role | None) -> int | None:
    """Return the largest limit that a model or one of its modules states for `role`; None where none states one."""
    truncation = getattr(getattr(model, "tokenizer", None), "truncation", None)
    stated: list[object] = [getattr(model, "max_seq_length", None)]
    stated += [truncation["max_length"]] if isinstance(truncation, Mapping) else []
    for module in model.modules():
        stated.append(getattr(module, f"{role}_length", None))
        options = getattr(module, "processing_kwargs", None)
        for each in options.values() if isinstance(options, Mapping) else ():
            stated.append(each.get("max_length"))
    return max((int(each) for each in stated if isinstance(each, int | float) and each <= ENDLESS), default=None)
