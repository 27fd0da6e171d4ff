"""The worker of a stream: reads the documents of a part, encodes them, counts them and lets them go."""

import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from mlbench import members
from mlbench.collection.records import Document
from mlbench.embeddings.encode import encode_distinct
from mlbench.embeddings.exact import Grid
from mlbench.embeddings.store import EMBEDDINGS, belongs, pack, part_name, text_hash, vector_key
from mlbench.errors import RetrieverError
from mlbench.evaluation.streaming.corpus import PART, CorpusPart, PartReader
from mlbench.evaluation.streaming.counts import LanguageQuestion, PartCounts, Question, TopDocuments
from mlbench.io.atomic import write_whole
from mlbench.open_model import ModelSource
from mlbench.protocols import Encoder, Vectors
from mlbench.ranking.count_ahead import Block, Targets, Tiling, count_ahead, exact_scores

Vector = NDArray[np.float32]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
# Texts after which vectors are kept that a server was asked for: each may cost money.
_ASKED = 512
# Documents between two relevant ones, in the order of ids, are fewer than this.
_STRIDE = 2 * PART


class PartVectors:
    """The vectors that earlier runs left of parts, in `<cache>/embeddings/<key>/`; the key is that of `vector_key`.

    Several processes may share them: a file appears whole, and says the same whoever wrote it. A folder that cannot be
    used is no reason to stop: what cannot be written is encoded again another time.
    """

    def __init__(self, cache: Path, key: str) -> None:
        self._key, self._folder = key, cache / EMBEDDINGS / key

    def load(self, part: tuple[object, ...], dim: int) -> dict[bytes, Vector]:
        """Return the vectors of a part by the hash of their texts.

        None where there are none, or those of another part or key, or not of `dim`.
        """
        path = self._path(part)
        try:
            with safe_open(path, framework="numpy") as content:
                if not belongs(content, self._key, part=path.name):
                    return {}
                hashes, vectors = content.get_tensor("hashes"), content.get_tensor("vectors")
        except (FileNotFoundError, SafetensorError, OSError):
            return {}
        if hashes.shape != (len(vectors), 32) or vectors.shape[1:] != (dim,) or not np.isfinite(vectors).all():
            return {}
        return {hashed.tobytes(): vector for hashed, vector in zip(hashes, vectors, strict=True)}

    def write(self, part: tuple[object, ...], vectors: dict[bytes, Vector]) -> str:
        """Keep the vectors of a part, by the hash of their texts; returns why that failed, or an empty text."""
        hashes = np.frombuffer(b"".join(vectors), np.uint8).reshape(-1, 32)
        path = self._path(part)
        content = pack(self._key, hashes, np.stack(list(vectors.values())), part=path.name)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
        except OSError as error:
            return str(error)
        return ""

    def _path(self, part: tuple[object, ...]) -> Path:
        return self._folder / part_name(sha256(repr(part).encode()).hexdigest())


@dataclass
class MakeCounter:
    """Makes a worker: with the encoder that is open here, or in another process with one that it opens there.

    `key` is that of documents' vectors; with `keep`, vectors are kept in the cache folder `cache`, which has
    the same path on every machine.
    """

    question: Question
    source: ModelSource | None
    key: str
    threads: int | None
    keep: bool
    cache: Path
    encoder: Encoder | None = field(default=None, compare=False)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "encoder": None}

    def __call__(self) -> "Counter":
        """Return the worker; raises `RetrieverError` where the machine's model is not the one that is measured."""
        encoder = self.encoder or self._open()
        kept = PartVectors(self.cache, self.key) if self.keep else None
        device = members.counting_device(encoder)
        return Counter(
            encoder, self.question, kept, Tiling(depth=self.question.depth, threads=self.threads, device=device)
        )

    def _open(self) -> Encoder:
        assert self.source is not None
        encoder = self.source.open()
        assert members.is_encoder(encoder)
        if vector_key(encoder, "document") != self.key:
            raise RetrieverError(
                f"{self.source.spec} on {socket.gethostname()} is not the model that is measured here: every worker "
                "needs the same files, library versions and kind of device (see --device)"
            )
        return encoder


@dataclass
class Counter:
    """A worker that counts parts."""

    encoder: Encoder
    question: Question
    kept: PartVectors | None
    tiling: Tiling
    reader: PartReader = field(default_factory=PartReader)

    def __call__(self, part: CorpusPart) -> PartCounts:
        """Read, encode and count one part; raises what reading and encoding raise, and as `members.check_files`."""
        begin, tokens = perf_counter(), members.tokens_of(self.encoder)
        documents = sorted(self.reader.read(part), key=lambda document: document.doc_id, reverse=True)
        vectors, texts, encoded, not_kept = self._vectors(part, documents)
        cut = members.is_truncated(self.encoder, [document.text for document in documents], "document")
        members.check_files(self.encoder)
        middle = perf_counter()
        asked = self.question.languages[part.shard.language]
        ahead, ties, top = self._count(asked, documents, vectors)
        return PartCounts(
            ahead=ahead,
            ties=ties,
            top=top,
            texts=texts,
            truncated=0 if cut is None else int(cut.sum()),
            encoded=encoded,
            tokens=members.tokens_of(self.encoder) - tokens,
            encode_seconds=middle - begin,
            count_seconds=perf_counter() - middle,
            not_kept=not_kept,
        )

    def _vectors(self, part: CorpusPart, documents: Sequence[Document]) -> tuple[Vectors, int, int, str]:
        """Return the vectors, how many new texts there are, how many were encoded, and why they were not kept."""
        hashes = {document.text: text_hash(document.text) for document in documents}
        new = {text for text, name in hashes.items() if name not in self.question.known}
        found = {} if self.kept is None else self.kept.load(part.key, self.encoder.dim)
        rows: dict[str, NDArray[np.float32]] = {}
        not_kept = ""
        for texts in self._groups(new):
            missing, vectors = encode_distinct(
                self.encoder, (text for text in texts if hashes[text] not in found), "document"
            )
            rows.update(zip(missing, vectors, strict=True))
            if missing and self.kept is not None:
                members.check_files(self.encoder)
                not_kept = self.kept.write(part.key, {hashes[text]: row for text, row in rows.items()} | found)
        encoded = len(rows)
        for text, name in hashes.items():
            if name in self.question.known:
                rows[text] = self.question.known_vectors[self.question.known[name]]
            elif name in found:
                rows[text] = found[name]
        gathered = np.empty((len(documents), self.encoder.dim), np.float32)
        for number, document in enumerate(documents):
            gathered[number] = rows[document.text]
        return gathered, len(new), encoded, not_kept

    def _groups(self, texts: Collection[str]) -> list[Collection[str]]:
        """Return the texts after each of which vectors are kept: a function of the texts, never of what is missing."""
        if not members.encodes_by_requests(self.encoder):
            return [texts]
        ordered = sorted(texts, key=lambda text: (len(text), text))
        return [ordered[first : first + _ASKED] for first in range(0, len(ordered), _ASKED)]

    def _count(
        self, asked: LanguageQuestion, documents: Sequence[Document], vectors: Vectors
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], TopDocuments]:
        doc_ids = np.array([document.doc_id for document in documents])
        positions = _positions(doc_ids, self.question.target_ids)
        block = Block(Grid.of(vectors, self.question.similarity), positions)
        targets = Targets(asked.row_queries, asked.scores, _target_places(len(self.question.target_ids))[asked.targets])
        counts = count_ahead(asked.vectors, targets, [block], tiling=self.tiling)
        top = _tops(asked.vectors, block, doc_ids, counts.top)
        return counts.ahead[:, 0], counts.ties[:, 0], top


def _target_places(n_targets: int) -> Integers:
    """Return the position of each target (ascending ids): behind all documents that stand between it and the next."""
    return (n_targets - 1 - np.arange(n_targets)) * _STRIDE + _STRIDE - 1


def _positions(doc_ids: NDArray[np.str_], target_ids: Sequence[str]) -> Integers:
    """Return the positions of documents, given in descending order of ids, in the order of ids with all targets."""
    targets = np.array(target_ids, dtype=np.str_) if target_ids else np.empty(0, "<U1")
    above = len(targets) - np.searchsorted(targets, doc_ids, side="right")
    itself = np.searchsorted(targets, doc_ids, side="left") < len(targets) - above
    return above * _STRIDE + np.where(itself, _STRIDE - 1, np.arange(len(doc_ids)))


def _tops(queries: Floats, block: Block, doc_ids: NDArray[np.str_], top: Integers) -> TopDocuments:
    """Return scores and ids of the documents that counting found best."""
    row, column = np.nonzero(top >= 0)
    document = np.searchsorted(block.positions, top[row, column])
    found = TopDocuments(np.full(top.shape, -np.inf), np.full(top.shape, "", dtype=doc_ids.dtype))
    found.scores[row, column] = exact_scores(queries, row, block.vectors, document)
    found.doc_ids[row, column] = doc_ids[document]
    return found
