"""CLIPScore by a fixed judge: how well what a retriever finds first fits, in the space of another model."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlbench import members
from mlbench.collection.languages import IMAGE, Setting
from mlbench.embeddings.encode import embed
from mlbench.errors import UserError
from mlbench.open_model import LoadedModel
from mlbench.protocols import Group, Progress
from mlbench.ranking.index_arrays import IndexArrays
from mlbench.ranking.ranks import Ranks
from mlbench.ranking.run_files import ListSink, without_itself
from mlbench.tasks.task import Task

_Item = tuple[str, str]
"""A language, or `IMAGE`, and a text in it, or an image."""
# In place of the number of a document.
_NOT_KNOWN, _NOT_FOUND = -1, -2


class ClipScoreJudge(ListSink):
    """Takes the first document of each list, and has the `model` say how well it goes with the query.

    The cosine of a measured model is no common scale: one that puts everything close together has high CLIPScores.
    """

    depth = 1

    def __init__(self, model: LoadedModel, arrays: IndexArrays, settings: Sequence[Setting]) -> None:
        self.model, self.arrays, self.settings = model, arrays, tuple(settings)
        self._first: dict[Setting, list[str | None]] = {}

    def write(self, setting: Setting, lists: Iterable[Sequence[str]]) -> None:
        """Keep the first document of each query; pools of several languages are not judged."""
        if len(setting.document_languages) == 1:
            own = without_itself(self.arrays, setting, lists)
            self._first[setting] = [found[0] if found else None for found in own]

    def judge(self, ranks: Ranks, cache: Path, progress: Progress) -> Ranks:
        """Return `ranks` with what the judge says, `judged`; each text and image is encoded once, and kept in `cache`.

        Raises as `embed` does.
        """
        items = self._items()
        numbers = {item: number for number, item in enumerate(items)}
        documents = {
            document.doc_id: numbers[language, document.text]
            for language, corpus in self.arrays.collection.documents.items()
            for document in corpus
        }
        queries = [
            numbers[language, query.text]
            for language in self.arrays.collection.languages
            for query in self.arrays.collection.queries[language]
        ]
        pairs = np.full((len(ranks.row_queries), 2, 2), _NOT_KNOWN, dtype=np.int64)
        pairs[:, :, 0] = np.array(queries, dtype=np.int64)[ranks.row_queries, None]
        own = np.array([documents.get(doc_id, _NOT_KNOWN) for doc_id in ranks.document_ids.tolist()], dtype=np.int64)
        pairs[:, 0, 1] = own[ranks.row_documents]
        pairs[:, 1, 1] = self._found(ranks, documents)
        return replace(ranks, judged=_cosines(self._vectors(items, cache, progress), pairs))

    def _items(self) -> list[_Item]:
        """Return the distinct texts and images of all languages, whichever side they stand on."""
        collection = self.arrays.collection
        sides = (collection.documents, collection.queries)
        return list(
            dict.fromkeys(
                (language, each.text) for language in collection.languages for side in sides for each in side[language]
            )
        )

    def _found(self, ranks: Ranks, documents: dict[str, int]) -> NDArray[np.int64]:
        """Return the number of the first document found for each row, `_NOT_FOUND` of an empty list."""
        found = np.full(len(ranks.row_queries), _NOT_KNOWN, dtype=np.int64)
        asked, languages = ranks.query_languages[ranks.row_queries], ranks.row_languages
        tags = ranks.languages.tolist()
        for setting, first in self._first.items():
            query, document = tags.index(setting.query_language), tags.index(setting.document_languages[0])
            rows = np.flatnonzero((asked == query) & (languages == document))
            start = int(np.searchsorted(ranks.query_languages, query))
            known = np.array([_NOT_FOUND if doc_id is None else documents[doc_id] for doc_id in first])
            found[rows] = known[ranks.row_queries[rows] - start]
        return found

    def _vectors(self, items: Sequence[_Item], cache: Path, progress: Progress) -> NDArray[np.float32]:
        """Return the judge's vectors of length 1, float32 (items, dim); captions are encoded as documents."""
        encoder = self.model.retriever
        assert members.is_encoder(encoder)
        texts: dict[Group, list[str]] = {}
        for language, text in items:
            texts.setdefault(("document", language), []).append(text)
        embedded = embed(encoder, texts, self.model.store(cache, progress), progress)
        vectors = np.concatenate([embedded.vectors(*group) for group in texts])
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        return np.asarray(vectors / lengths, dtype=np.float32)


def clip_score_judge(
    model: LoadedModel | None, task: Task, arrays: IndexArrays, settings: Sequence[Setting]
) -> ClipScoreJudge | None:
    """Return what judges a task; None without a judge. Raises `UserError` for a task without images."""
    if model is None:
        return None
    if IMAGE not in arrays.collection.languages:
        raise UserError(
            f"{task.name} has no images, and CLIPScore judges captions of images: leave out --clipscore-model"
        )
    return ClipScoreJudge(model, arrays, settings)


def _cosines(vectors: NDArray[np.float32], pairs: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the cosines of pairs of rows, float32 of the shape (..., 2) without its last axis.

    It is NaN where the second number is `_NOT_KNOWN`, 0 where it is `_NOT_FOUND`.
    """
    one, other = pairs[..., 0], pairs[..., 1]
    found = np.einsum("...d,...d->...", vectors[one], vectors[np.maximum(other, 0)])
    return np.select([other == _NOT_KNOWN, other == _NOT_FOUND], [np.nan, 0.0], found).astype(np.float32)
