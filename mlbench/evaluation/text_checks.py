"""What a retriever makes of the texts of a task before it encodes them: which are cut off, and what stands in front."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from mlbench import members
from mlbench.collection.records import Collection, Image
from mlbench.open_model import LoadedModel
from mlbench.protocols import Parameter, Progress, Texts
from mlbench.results import TruncatedTexts

_MANY = {"query": "queries", "document": "documents"}


def count_truncated(retriever: object, texts: Texts) -> tuple[TruncatedTexts, ...] | None:
    """Return how many texts of each role and language are cut off at the longest input, in the order of `texts`.

    A text counts as often as it is there; images do not count. None where the retriever cannot tell. No texts give no
    rows.
    """
    rows = []
    roles: tuple[Literal["query", "document"], ...] = ("query", "document")
    for role in roles:
        groups = {group: held for group, held in texts.items() if group[0] == role and not _are_images(held)}
        distinct = list({text: None for held in groups.values() for text in held})
        found = members.is_truncated(retriever, distinct, role)
        if found is None:
            return None
        cut = {distinct[place] for place in np.flatnonzero(found)}
        limit = members.longest_input(retriever, role)
        for (_, language), held in groups.items():
            n_truncated = sum(text in cut for text in held)
            rows.append(
                TruncatedTexts(
                    role=role, language=language, n_texts=len(held), n_truncated=n_truncated, max_length=limit
                )
            )
    return tuple(rows)


def tell_prompted_texts(model: LoadedModel, collection: Collection, progress: Progress) -> None:
    """Warn of texts that already begin with what is put before them, as in data sets that hold `query: who ...`.

    Each prompt is told once. Of a corpus that is streamed, its relevant documents are looked at.
    """
    for role, rows in (("query", collection.queries), ("document", collection.documents)):
        texts = [row[1] for held in rows.values() for row in held if not isinstance(row[1], Image)]
        for key, prompt in _prompts(model.retriever.parameters, role):
            found = [text for text in texts if text.startswith(prompt)]
            if found:
                progress.note(
                    f"warning: {model.spec}: {len(found):,} of {len(texts):,} {_MANY[role]} already begin with "
                    f"{prompt!r}, which is put before each of them again: an empty {key} leaves it out"
                )


def _prompts(parameters: Mapping[str, Parameter], role: str) -> Iterator[tuple[str, str]]:
    """Yield the keys of a retriever and of its parts that put a prompt before texts in `role`, with the prompt."""
    for key, prompt in parameters.items():
        if key.rpartition(".")[2] in (f"{role}_prompt", "text_prefix") and isinstance(prompt, str) and prompt.strip():
            yield key, prompt


def _are_images(texts: Sequence[str]) -> bool:
    return len(texts) > 0 and isinstance(texts[0], Image)
