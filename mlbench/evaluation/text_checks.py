"""What a retriever makes of the texts of a task before it reads them: which are cut off, and what stands in front."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from mlbench import members
from mlbench.collection.records import Collection, Image
from mlbench.open_model import LoadedModel
from mlbench.protocols import Parameter, Progress, Role, Texts
from mlbench.results import TruncatedTexts

_MANY = {"query": "queries", "document": "documents"}


def count_truncated(retriever: object, texts: Texts) -> tuple[TruncatedTexts, ...] | None:
    """Return how many texts of each role and language are cut off at the longest input, queries first.

    A text counts as often as it is there; images do not count. The pairs that a ranker has scored so far follow, by the
    language of the document. What the retriever cannot tell has no rows; None where it can tell nothing.
    """
    rows = (*_count(retriever, texts, "query"), *_count(retriever, texts, "document"), *_count_pairs(retriever, texts))
    return rows or None


def _count(retriever: object, texts: Texts, role: Literal["query", "document"]) -> list[TruncatedTexts]:
    groups = _by_language(texts, role)
    distinct = list({text: None for held in groups.values() for text in held})
    found = members.is_truncated(retriever, distinct, role)
    if found is None:
        return []
    cut = {distinct[row] for row in np.flatnonzero(found)}
    limit = members.longest_input(retriever, role)
    return [
        TruncatedTexts(
            role=role,
            language=language,
            n_texts=len(held),
            n_truncated=sum(text in cut for text in held),
            max_length=limit,
        )
        for language, held in groups.items()
    ]


def _count_pairs(ranker: object, texts: Texts) -> Iterator[TruncatedTexts]:
    pairs = members.scored_pairs(ranker)
    if pairs is None:
        return
    for language, held in _by_language(texts, "document").items():
        distinct = set(held)
        yield TruncatedTexts(
            role="pair",
            language=language,
            n_texts=sum(pairs.scored.get(text, 0) for text in distinct),
            n_truncated=sum(pairs.truncated.get(text, 0) for text in distinct),
            max_length=pairs.max_length,
        )


def _by_language(texts: Texts, role: Role) -> dict[str, Sequence[str]]:
    """Return the texts in a role by language, without images."""
    return {
        language: held
        for (side, language), held in texts.items()
        if side == role and not (len(held) and isinstance(held[0], Image))
    }


def tell_prompted_texts(model: LoadedModel, collection: Collection, progress: Progress) -> None:
    """Warn of texts that already begin with what is put before them, as in data sets that hold `query: who ...`.

    Each prompt is told once. Of a corpus that is streamed, its relevant documents are looked at.
    """
    for role, rows in (("query", collection.queries), ("document", collection.documents)):
        texts = [row[1] for held in rows.values() for row in held if not isinstance(row[1], Image)]
        for key, prompt in _prompts(model.retriever.parameters, role):
            found = sum(text.startswith(prompt) for text in texts)
            if found:
                progress.note(
                    f"warning: {model.label}: {found:,} of {len(texts):,} {_MANY[role]} already begin with {prompt!r}, "
                    f"which is put before each of them again: an empty {key} leaves it out"
                )


def _prompts(parameters: Mapping[str, Parameter], role: str) -> Iterator[tuple[str, str]]:
    """Yield the keys of a retriever and of its parts that put a prompt before texts in `role`, with the prompt."""
    for key, prompt in parameters.items():
        if key.rpartition(".")[2] in (f"{role}_prompt", "text_prefix") and isinstance(prompt, str) and prompt.strip():
            yield key, prompt
