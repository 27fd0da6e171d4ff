"""Rankers that encode texts as something else than one vector, and order all documents by exact scores."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Query
from mlbench.io.watched import WatchedFiles
from mlbench.protocols import Parameter, RankedList, Role, Runtime, ScoredRanker
from mlbench.provenance import RegistryInfo
from mlbench.ranking.count_ahead import best_columns, by_id
from mlbench.retrievers.checkpoint_folder import check_checkpoint, find_checkpoint
from mlbench.retrievers.load_checkpoint import PADDED, DType, LoadOptions, first_use, is_rounding, padding_probes
from mlbench.retrievers.model_limits import limit_of
from mlbench.retrievers.prompts import PromptSettings, choose_prompts
from mlbench.retrievers.registered import REGISTRY_KEY

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder, SparseEncoder

Encoded = TypeVar("Encoded")
Floats = NDArray[np.float64]
_CHUNK = 1024
_CELLS = 2**24


class TextSettings(PromptSettings):
    """Keys of `sparse:` and `late:`; what is not set comes from the checkpoint."""

    dtype: DType = Field("fp32", description="precision of the weights")
    revision: str | None = Field(None, description="branch, tag or commit on the hub")
    batch_size: int = Field(32, ge=1, description="texts per batch")
    registry: str = Field("true", description=REGISTRY_KEY)


def find(locator: str, settings: TextSettings, runtime: Runtime) -> tuple[Path, LoadOptions]:
    """Return the checkpoint's folder and how it is loaded; raises `RetrieverError` as `find_checkpoint` does."""
    folder = find_checkpoint(locator, settings.revision, allow_pickle=runtime.allow_pickle)
    check_checkpoint(folder, allow_pickle=runtime.allow_pickle)
    options = LoadOptions.under(runtime, settings.dtype)
    return folder, options


class TextLists(ScoredRanker, ABC, Generic[Encoded]):
    """Encodes each distinct text once, whatever the settings, and lists all documents for each query.

    Lists are in the order of the scores, then of the document ids, both descending. `identity` is what decides the
    scores beside the settings and the model, whose digest is `digest`; `files` are those that it was read from.
    """

    warnings: tuple[str, ...] = ()
    """What a user should know of how it was opened."""

    def __init__(
        self,
        model: "MultiVectorEncoder | SparseEncoder",
        digest: str,
        settings: TextSettings,
        identity: Mapping[str, Parameter],
        files: WatchedFiles,
    ) -> None:
        self.registry: RegistryInfo | None = None
        self._model, self._digest, self._batch_size, self._files = model, digest, settings.batch_size, files
        chosen = choose_prompts(model.prompts, model.default_prompt_name, settings)
        self._prompts, self.warnings = chosen.texts, chosen.warnings
        # Where documents are images, a text is read as a query on either side.
        as_query: Role | None = "query" if "image" in model.modalities else None
        self._limits = {role: limit_of(model, prompt, role=as_query or role) for role, prompt in chosen.texts.items()}
        self._identity = {
            **identity,
            "query_prompt": self._prompts["query"],
            "document_prompt": self._prompts["document"],
            "dtype": settings.dtype,
            "device": model.device.type,
        }
        self._encoded: dict[Role, dict[str, Encoded]] = {"query": {}, "document": {}}
        with first_use():
            if not self._ignores_padding():
                self._batch_size = 1

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What decides the scores, and how they are computed."""
        return {**self._identity, "batch_size": self._batch_size}

    def fingerprint(self) -> str:
        """Return a digest of the model and of all that decides the scores."""
        parts = {**self._identity, "model": self._digest}
        return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def check_files(self) -> None:
        """Raise `RetrieverError` where a file of the checkpoint has changed since it was read."""
        self._files.check()

    def longest_input(self, role: Role) -> int | None:
        """Return after how many tokens a text in `role` is cut off, with its prompt; None where none is."""
        return self._limits[role].tokens

    def is_truncated(self, texts: Sequence[str], role: Role) -> NDArray[np.bool_] | None:
        """Return for each text whether it is cut off, bool (len(texts),); None where that cannot be told."""
        return self._limits[role].exceeded_by(texts)

    def search_scored(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[RankedList]:
        """Return for each query its `depth` best documents; raises `RetrieverError` for scores that are no numbers."""
        order = by_id([document.doc_id for document in documents])
        doc_ids = np.array([documents[index].doc_id for index in order], dtype=object)
        score = self.score_rows([query.text for query in queries], [documents[index].text for index in order])
        step = max(1, _CELLS // max(len(documents), 1))
        lists: list[RankedList] = []
        for start in range(0, len(queries), step):
            scores = score(slice(start, start + step))
            best = best_columns(scores, depth)
            lists += map(RankedList, doc_ids[best].tolist(), np.take_along_axis(scores, best, axis=1))
        return lists

    def score_rows(self, queries: Sequence[str], documents: Sequence[str]) -> Callable[[slice], Floats]:
        """Return what gives the scores of some of the queries against all documents, float64 (queries, documents)."""
        asked = self.encode_once(queries, "query")
        score = self.scorer(self.encode_once(documents, "document"))
        return lambda rows: score(asked[rows])

    @abstractmethod
    def encode(self, texts: Sequence[str], role: Role) -> list[Encoded]:
        """Return what the model makes of each text; raises `RetrieverError` where that cannot be scored."""

    @abstractmethod
    def scorer(self, documents: Sequence[Encoded]) -> Callable[[Sequence[Encoded]], Floats]:
        """Return what gives the exact scores of queries against `documents`, float64 (queries, documents)."""

    def _ignores_padding(self) -> bool:
        """Say whether a text gets the same scores alone and beside a longer one, but for rounding."""
        texts = padding_probes(self._model)
        alone = [self.encode([text], "document")[0] for text in texts]
        beside = self.encode(texts, "document")
        scores = [self.scorer(texts)(texts) for texts in (beside, alone)]
        return is_rounding(scores[0], scores[1], str(self._identity["dtype"]))

    def encode_once(self, texts: Sequence[str], role: Role) -> list[Encoded]:
        """Return what `encode` makes of each text; each distinct one is encoded once in each role."""
        known = self._encoded[role]
        # The library may find no token in a blank text, and encodes that only beside another.
        blank = {text for text in texts if text not in known and not text.strip()}
        known |= {text: self.encode([text, PADDED[0]], role)[0] for text in sorted(blank)}
        missing = sorted({text for text in texts if text not in known}, key=lambda text: (len(text), text))
        for start in range(0, len(missing), _CHUNK):
            chunk = missing[start : start + _CHUNK]
            known.update(zip(chunk, self.encode(chunk, role), strict=True))
        return [known[text] for text in texts]
