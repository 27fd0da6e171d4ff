"""The parts of a system: rankers as they are, encoders whose vectors are made into ranked lists."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlbench import members
from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Query
from mlbench.embeddings.encode import Embeddings, embed, role_of
from mlbench.embeddings.exact import to_grid
from mlbench.embeddings.store import VectorStore
from mlbench.errors import RetrieverError
from mlbench.io.threads import one_blas_thread, usable_threads
from mlbench.open_model import LoadedModel, describe, fingerprints_of, open_retriever
from mlbench.protocols import (
    SILENCE,
    IndexCost,
    Parameter,
    Progress,
    RankedList,
    Ranker,
    Repeatability,
    Role,
    Runtime,
    ScoredRanker,
    Scores,
    Texts,
)
from mlbench.provenance import RegistryInfo
from mlbench.ranking.count_ahead import best_columns, by_id

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
_CELLS = 2**22


class TextRows:
    """Where the vectors of texts stand among those that an encoder was asked for last."""

    def __init__(self, opened: LoadedModel) -> None:
        assert members.is_encoder(opened.retriever)
        if members.reads_languages(opened.retriever):
            raise RetrieverError(f"{opened.spec} must know the language of each text, so it is measured only by itself")
        self.encoder, self._spec = opened.retriever, opened.spec
        self._rows: dict[Role, dict[str, int]] = {"query": {}, "document": {}, "image": {}}

    def encode(self, texts: Texts, cache: Path | None, progress: Progress) -> Embeddings:
        """Encode each distinct text once, as a run of the encoder alone does; what was encoded before is forgotten.

        `cache` is the folder of the embedding store, None for no store.
        """
        about = {"retriever": self._spec, "parameters": self.encoder.parameters}
        store = None if cache is None else VectorStore(cache, progress, about)
        embeddings = embed(self.encoder, texts, store, progress)
        for role in self._rows:
            self._rows[role] = {
                text: int(row)
                for group, group_texts in texts.items()
                if embeddings.roles[group] == role
                for text, row in zip(group_texts, embeddings.rows[group], strict=True)
            }
        return embeddings

    def lack(self, queries: Sequence[str], documents: Sequence[str]) -> bool:
        """Say whether any of these texts or images was not encoded."""
        sides: tuple[tuple[Role, Sequence[str]], ...] = (("query", queries), ("document", documents))
        return not all(self._rows[role_of(role, texts)].keys() >= set(texts) for role, texts in sides)

    def of(self, role: Role, texts: Sequence[str]) -> Integers:
        """Return the row of each text in the matrix of the role in which it was encoded, int64 (n,)."""
        rows = self._rows[role_of(role, texts)]
        return np.fromiter((rows[text] for text in texts), dtype=np.int64, count=len(texts))


@dataclass(frozen=True)
class OpenedPart:
    """An opened part, the ranker that answers for it, and what a result says of it."""

    ranker: Ranker
    opened: LoadedModel

    @classmethod
    def of(cls, opened: LoadedModel, threads: int | None = None) -> "OpenedPart":
        """Return `opened` as a part: an encoder answers with lists."""
        retriever = opened.retriever
        return cls(EncoderLists(opened, threads) if members.is_encoder(retriever) else retriever, opened)

    def fingerprint(self) -> str:
        """Return the part's own fingerprint, that of a result of it alone."""
        return self.opened.info().fingerprint

    def parameters(self, place: str) -> dict[str, Parameter]:
        """Return what the result says of the part, under names that begin with its place in the file."""
        named = {"model": self.opened.spec, "fingerprint": self.fingerprint(), **self.opened.retriever.parameters}
        return {f"{place}.{name}": value for name, value in named.items()}

    def search_scored(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[RankedList]:
        """Return the part's lists; raises `RetrieverError` for one that names a document twice, or an unknown one."""
        lists = members.search_scored(self.ranker, setting, queries, documents, depth)
        if isinstance(self.ranker, EncoderLists):
            return lists
        if len(lists) != len(queries):
            raise RetrieverError(f"{self.opened.spec} gave {len(lists)} lists for {len(queries)} queries")
        known = {document.doc_id for document in documents}
        for found, _ in lists:
            names = set(found)
            if unknown := names - known:
                raise RetrieverError(f"{self.opened.spec} listed {min(unknown)!r}, which is not in the pool")
            if len(names) < len(found):
                raise RetrieverError(f"{self.opened.spec} listed a document twice")
        return lists

    def places(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], order: Integers, depth: int
    ) -> list[tuple[Integers, Scores | None]]:
        """Return the part's lists as places in `order`, the positions of `documents` in the order of ids.

        Beside each list are its scores, None where the part hands over none.
        """
        if isinstance(self.ranker, EncoderLists):
            ordered = [documents[index] for index in order]
            return [*self.ranker.places(setting, queries, ordered, depth)]
        place = {documents[index].doc_id: number for number, index in enumerate(order)}
        lists = self.search_scored(setting, queries, documents, depth)
        return [
            (np.fromiter(map(place.__getitem__, found), dtype=np.int64, count=len(found)), scores)
            for found, scores in lists
        ]

    def prepare(self, texts: Texts, cache: Path | None, progress: Progress) -> None:
        """Let the part encode `texts` where it does that."""
        members.prepare(self.ranker, texts, cache, progress)


def open_part(spec: str, settings: Mapping[str, str], runtime: Runtime) -> OpenedPart:
    """Open what `spec` names; raises what `open_retriever` raises."""
    opened = LoadedModel(open_retriever(spec, settings, runtime), describe(spec).removesuffix(":"))
    return OpenedPart.of(opened, runtime.threads)


class EncoderLists(ScoredRanker):
    """The lists that an encoder's vectors give: all documents in the total order of their exact scores."""

    def __init__(self, opened: LoadedModel, threads: int | None = None) -> None:
        self._texts = TextRows(opened)
        self._encoder = self._texts.encoder
        self._threads = threads or usable_threads()
        self._grids: dict[Role, Floats] = {}

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Those of the encoder."""
        return self._encoder.parameters

    def fingerprint(self) -> str:
        """Return that of the encoder in all its roles."""
        return "\n".join(fingerprints_of(self._encoder))

    @property
    def reads_images(self) -> bool:
        """Whether the encoder does."""
        return members.reads_images(self._encoder)

    def prepare(self, texts: Texts, cache: Path | None, progress: Progress) -> None:
        """Encode each distinct text once, as a run of the encoder alone does; what was prepared before is dropped."""
        embeddings = self._texts.encode(texts, cache, progress)
        for role, vectors in embeddings.matrices.items():
            self._grids[role] = to_grid(vectors, self._encoder.similarity)

    def search_scored(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[RankedList]:
        """Return for each query its `depth` best documents; texts that were not prepared are encoded for this call."""
        ordered = [documents[index] for index in by_id([document.doc_id for document in documents])]
        doc_ids = np.array([document.doc_id for document in ordered], dtype=object)
        lists = self.places(setting, queries, ordered, depth)
        return [RankedList(doc_ids[found].tolist(), scores) for found, scores in lists]

    def places(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[tuple[Integers, Floats]]:
        """Return the lists as positions in `documents`, which stand in the order of ids, descending, and the scores."""
        asked, corpus = [query.text for query in queries], [document.text for document in documents]
        if self._texts.lack(asked, corpus):
            name = setting.query_language
            self.prepare({("query", name): asked, ("document", name): corpus}, None, SILENCE)
        vectors = self._grids[role_of("document", corpus)][self._texts.of("document", corpus)]
        wanted = self._grids[role_of("query", asked)][self._texts.of("query", asked)]

        def rank(tile: slice) -> list[tuple[Integers, Floats]]:
            scores = wanted[tile] @ vectors.T
            best = best_columns(scores, depth)
            return list(zip(best, np.take_along_axis(scores, best, axis=1), strict=True))

        # Threads over tiles, as in `mlbench.ranking`; a product of grid vectors is exact however it is cut.
        with one_blas_thread(), ThreadPoolExecutor(self._threads) as pool:
            return [found for best in pool.map(rank, _tiles(len(asked), len(documents))) for found in best]


def _tiles(n_queries: int, n_documents: int) -> Iterator[slice]:
    step = max(1, min(256, _CELLS // max(n_documents, 1)))
    return (slice(start, start + step) for start in range(0, n_queries, step))


class Composite(ScoredRanker, ABC):
    """A ranker made of `parts`, each under its place in the file, such as `systems[0]`."""

    def __init__(self, parts: Mapping[str, OpenedPart]) -> None:
        self._parts = dict(parts)

    @property
    @abstractmethod
    def declared(self) -> dict[str, Parameter]:
        """What decides how the parts' lists become one."""

    @abstractmethod
    def search_scored(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[RankedList]:
        """Return for each query at most `depth` of the `documents`, best first."""

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What the file says, and every part with its fingerprint and its own parameters."""
        parts = (part.parameters(place) for place, part in self._parts.items())
        return self.declared | {name: value for named in parts for name, value in named.items()}

    @property
    def reads_images(self) -> bool:
        """Whether all parts may be given images."""
        return all(members.reads_images(part.opened.retriever) for part in self._parts.values())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should be told of the parts, each under its place in the file."""
        return tuple(
            f"{place} ({part.opened.spec}): {warning}"
            for place, part in self._parts.items()
            for warning in members.warnings_of(part.opened.retriever)
        )

    @property
    def registry(self) -> RegistryInfo | None:
        """What the registry of models says of its only model; None where there are several."""
        known = [members.registry_of(part.opened.retriever) for part in self._parts.values()]
        return known[0] if len(known) == 1 else None

    @property
    def tokens(self) -> int:
        """What the parts have encoded since they were opened."""
        return sum(part.opened.tokens() for part in self._parts.values())

    @property
    def spent(self) -> float | None:
        """What the requests of the parts cost since they were opened; None where no part says."""
        spent = [members.spent_of(part.opened.retriever) for part in self._parts.values()]
        known = [each for each in spent if each is not None]
        return sum(known) if known else None

    def repeatability(self) -> Repeatability | None:
        """Return that of the least repeatable part; None where the vectors of all follow from files."""
        asked = [members.repeatability_of(part.opened.retriever) for part in self._parts.values()]
        known = [each for each in asked if each is not None]
        return min(known, key=lambda each: (each.repeatable, each.least_cosine), default=None)

    @property
    def index_costs(self) -> tuple[IndexCost, ...]:
        """What the indexes of the parts took since the last preparation; nothing where there are none."""
        rankers = (part.ranker for part in self._parts.values())
        return tuple(cost for ranker in rankers for cost in members.index_costs_of(ranker))

    def longest_input(self, role: Role) -> int | None:
        """Return the shortest of the longest inputs of the parts; None where no part has one."""
        found = [members.longest_input(part.opened.retriever, role) for part in self._parts.values()]
        return min((tokens for tokens in found if tokens is not None), default=None)

    def is_truncated(self, texts: Sequence[str], role: Role) -> NDArray[np.bool_] | None:
        """Return for each text whether a part cuts it off, bool (len(texts),); None where no part can tell."""
        found = [members.is_truncated(part.opened.retriever, texts, role) for part in self._parts.values()]
        known = [cut for cut in found if cut is not None]
        return np.any(known, axis=0) if known else None

    def fingerprint(self) -> str:
        """Return a digest of how the lists become one and of what the parts are, wherever they lie."""
        parts = {place: part.fingerprint() for place, part in self._parts.items()}
        return sha256(json.dumps([self.declared, parts], sort_keys=True).encode()).hexdigest()

    def check_files(self) -> None:
        """Raise `RetrieverError` where a file of a part has changed since it was opened."""
        for part in self._parts.values():
            members.check_files(part.opened.retriever)

    def prepare(self, texts: Texts, cache: Path | None, progress: Progress) -> None:
        """Let every part encode `texts`, each of them once."""
        for part in self._parts.values():
            part.prepare(texts, cache, progress)
