"""Encodes each distinct text or image of a task once, in chunks planned from these alone, and keeps what was encoded.

Where a group holds images, they are encoded in the role `image`, whichever side they stand on. An encoder that must
know the language of a text encodes it once in each language.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mlbench import members
from mlbench.collection.records import Collection, Image
from mlbench.embeddings.store import Hashes, VectorStore, text_hash, vector_key
from mlbench.errors import RetrieverError
from mlbench.protocols import Encoder, Group, Progress, Role, Vectors

CHUNK = 1024
IMAGES = 256
"""Chunks of images are smaller: each image takes as long as many texts, and what is saved is not lost."""
Rows = NDArray[np.intp]
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Embeddings:
    """The vectors of a task's texts, each distinct text held once.

    `matrices` has one float32 (distinct texts, dim) per key of the store, `rows` for each (role, language) the rows
    of its texts in input order, `roles` the role in which they were encoded, which differs where they are images.
    `distinct` = `encoded` (in this run) + `reused` (from the store); images are counted apart from texts.
    """

    matrices: Mapping[Role, Vectors]
    rows: Mapping[Group, Rows]
    roles: Mapping[Group, Role]
    distinct: int
    encoded: int
    images: int = 0
    encoded_images: int = 0

    @property
    def reused(self) -> int:
        """How many distinct texts came from the store."""
        return self.distinct - self.encoded

    def vectors(self, role: Role, language: str) -> Vectors:
        """Return a new float32 array (n_texts, dim) in the order of the texts given; no texts give (0, dim)."""
        matrix, rows = self.held(role, language)
        return matrix[rows]

    def held(self, role: Role, language: str) -> tuple[Vectors, Rows]:
        """Return the matrix that holds the vectors of a group, and the row of each of its texts."""
        return self.matrices[self.roles[role, language]], self.rows[role, language]


@dataclass(frozen=True)
class _Chunk:
    """Texts that `encoder` encodes in one call, and the first of their neighbouring rows in the matrix."""

    encoder: Encoder
    role: Role
    texts: tuple[str, ...]
    first: int

    @property
    def rows(self) -> slice:
        return slice(self.first, self.first + len(self.texts))

    @cached_property
    def hashes(self) -> Hashes:
        joined = b"".join(text_hash(text) for text in self.texts)
        return np.frombuffer(joined, np.uint8).reshape(-1, 32)


@dataclass(frozen=True)
class _Plan:
    """The chunks of vectors under one key and the row of each of their texts."""

    key: str
    chunks: list[_Chunk]
    rows: dict[str, int]


def texts_of(collection: Collection) -> dict[Group, list[str]]:
    """Return the texts of queries and documents, by role and language, in their order."""
    texts: dict[Group, list[str]] = {}
    for language in collection.languages:
        texts["document", language] = [document.text for document in collection.documents[language]]
        texts["query", language] = [query.text for query in collection.queries[language]]
    return texts


def embed(
    encoder: Encoder, texts: Mapping[Group, Sequence[str]], store: VectorStore | None, progress: Progress
) -> Embeddings:
    """Return the vectors of all `texts`, encoding each text once in roles whose vectors are the same.

    A chunk that the store holds is read, any other is encoded whole and saved at once, so a run that was killed and
    resumed gives the same vectors as an uninterrupted one. Raises `RetrieverError` for vectors that cannot be scored,
    and before a chunk is saved where the model's files have changed.
    """
    roles = {group: role_of(group[0], held) for group, held in texts.items()}
    by_group = _plan(encoder, texts, roles)
    plans = _distinct(by_group.values())
    matrices = {plan.key: np.empty((len(plan.rows), encoder.dim), np.float32) for plan in plans}
    missing = [
        (plan, chunk)
        for plan in plans
        for chunk, loaded in zip(plan.chunks, _load(plan, matrices[plan.key], store), strict=True)
        if not loaded
    ]
    for phase, of_images in (("encode", False), ("encode images", True)):
        if chosen := [each for each in missing if (each[1].role == "image") == of_images]:
            _encode_all(encoder, chosen, matrices, store, progress, phase=phase)
    _check_not_constant(plans, list(matrices.values()))
    every, encoded = [chunk for plan in plans for chunk in plan.chunks], [chunk for _, chunk in missing]
    by_role = {
        role: _distinct(by_group[group] for group in by_group if roles[group] == role) for role in roles.values()
    }
    return Embeddings(
        matrices={role: _stack([matrices[plan.key] for plan in held]) for role, held in by_role.items()},
        rows={
            group: _first_row(by_role[roles[group]], by_group[group])
            + np.array([by_group[group].rows[text] for text in held], np.intp)
            for group, held in texts.items()
        },
        roles=roles,
        distinct=_size(every, images=False),
        encoded=_size(encoded, images=False),
        images=_size(every, images=True),
        encoded_images=_size(encoded, images=True),
    )


def _distinct(plans: Iterable[_Plan]) -> list[_Plan]:
    return list({plan.key: plan for plan in plans}.values())


def _stack(matrices: list[Vectors]) -> Vectors:
    """Return matrices below each other; a single one as it is, which another role may have as well."""
    return matrices[0] if len(matrices) == 1 else np.concatenate(matrices)


def _first_row(plans: list[_Plan], plan: _Plan) -> int:
    """Return where the rows of one of `plans` begin in the stack of all."""
    return sum(len(each.rows) for each in plans[: plans.index(plan)])


def _size(chunks: Iterable[_Chunk], *, images: bool) -> int:
    """Return how many images, or texts, chunks hold."""
    return sum(len(chunk.texts) for chunk in chunks if (chunk.role == "image") == images)


def role_of(role: Role, texts: Sequence[str]) -> Role:
    """Return the role in which `texts`, all images or none, are encoded where they stand in `role`."""
    return "image" if len(texts) and isinstance(texts[0], Image) else role


def encode_distinct(encoder: Encoder, texts: Iterable[str], role: Role) -> tuple[list[str], Vectors]:
    """Return distinct texts in the order of their lengths, and their vectors, float32 (texts, dim).

    They are encoded in chunks planned from the texts alone, so the same texts give the same vectors to the bit. Raises
    `RetrieverError` for vectors that cannot be scored.
    """
    ordered = _by_length(set(texts))
    vectors = np.empty((len(ordered), encoder.dim), np.float32)
    for chunk in _cut(encoder, role, ordered, 0, IMAGES if role == "image" else CHUNK):
        vectors[chunk.rows] = _encode(chunk)
    return ordered, vectors


def _plan(encoder: Encoder, texts: Mapping[Group, Sequence[str]], roles: Mapping[Group, Role]) -> dict[Group, _Plan]:
    """Cut the distinct texts into chunks: a function of the texts alone, never of what the store lacks."""
    plans: dict[str, _Plan] = {}
    keyed: dict[tuple[Role, str], tuple[Encoder, str]] = {}
    by_group: dict[Group, _Plan] = {}
    for group in sorted(texts):
        role = roles[group]
        language = group[1] if role != "image" and members.reads_languages(encoder) else ""
        if (role, language) not in keyed:
            reader = encoder.in_language(language) if members.reads_languages(encoder) and language else encoder
            keyed[role, language] = reader, vector_key(reader, role)
        reader, key = keyed[role, language]
        plan = by_group[group] = plans.setdefault(key, _Plan(key, [], {}))
        new = _by_length({text for text in texts[group] if text not in plan.rows})
        first = len(plan.rows)
        plan.chunks.extend(_cut(reader, role, new, first, _chunk_size(reader, role)))
        plan.rows.update(zip(new, range(first, first + len(new)), strict=True))
    return by_group


def _by_length(texts: Iterable[str]) -> list[str]:
    return sorted(texts, key=lambda text: (len(text), text))


def _chunk_size(encoder: Encoder, role: Role) -> int:
    """Return how many texts a chunk holds at most: as many as a request, where an encoder asks a server."""
    if members.encodes_by_requests(encoder):
        return encoder.batch_size
    return IMAGES if role == "image" else CHUNK


def _cut(encoder: Encoder, role: Role, texts: list[str], first: int, size: int) -> Iterator[_Chunk]:
    """Cut texts, sorted by length, into chunks of about the same number, `size` at most; rows begin at `first`."""
    n_chunks = -(-len(texts) // size)
    edges = [len(texts) * number // n_chunks for number in range(n_chunks + 1)] if texts else []
    return (_Chunk(encoder, role, tuple(texts[low:high]), first + low) for low, high in pairwise(edges))


def _load(plan: _Plan, matrix: Vectors, store: VectorStore | None) -> list[bool]:
    """Fill the rows of every chunk that the store holds; returns for each chunk whether it did."""
    if store is None:
        return [False] * len(plan.chunks)
    hashes = [chunk.hashes for chunk in plan.chunks]
    return store.load(plan.key, hashes, [matrix[chunk.rows] for chunk in plan.chunks])


def _encode_all(
    encoder: Encoder,
    missing: list[tuple[_Plan, _Chunk]],
    matrices: Mapping[str, Vectors],
    store: VectorStore | None,
    progress: Progress,
    *,
    phase: str,
) -> None:
    """Fill the rows of the missing chunks, saving each as soon as it is encoded."""
    if members.encodes_by_requests(encoder):
        progress.note(encoder.estimate([text for _, chunk in missing for text in chunk.texts]))
    progress.start(phase, sum(len(chunk.texts) for _, chunk in missing))
    try:
        for plan, chunk, vectors in _encoded(encoder, _typical_first(missing)):
            members.check_files(encoder)
            matrices[plan.key][chunk.rows] = vectors
            if store:
                store.write(plan.key, chunk.hashes, vectors)
            progress.advance(len(chunk.texts))
    finally:
        progress.finish()


def _typical_first(missing: list[tuple[_Plan, _Chunk]]) -> list[tuple[_Plan, _Chunk]]:
    """Order chunks so that the time taken so far always tells the time left.

    The longest comes first, so that a lack of memory shows at once; after it, steps of the golden ratio through the
    chunks sorted by length make every beginning of the work a fair sample of the whole.
    """
    longest_first = sorted(missing, key=lambda item: -sum(map(len, item[1].texts)))
    return [longest_first[number] for number in sorted(range(len(missing)), key=lambda number: number * _GOLDEN % 1)]


def _encoded(encoder: Encoder, missing: Sequence[tuple[_Plan, _Chunk]]) -> Iterator[tuple[_Plan, _Chunk, Vectors]]:
    """Yield each chunk with its vectors, in their order, or in that in which a server answers."""
    if not members.encodes_by_requests(encoder):
        for (plan, chunk), compute in _prepared(missing):
            yield plan, chunk, _checked(chunk, np.asarray(compute()))
        return
    sides = {(id(chunk.encoder), chunk.role): chunk.encoder for _, chunk in missing}
    for side, reader in sides.items():
        assert members.encodes_by_requests(reader)
        asked = [item for item in missing if (id(item[1].encoder), item[1].role) == side]
        for number, vectors in reader.encode_batches([chunk.texts for _, chunk in asked], asked[0][1].role):
            plan, chunk = asked[number]
            yield plan, chunk, _checked(chunk, vectors)


def _prepared(
    missing: Iterable[tuple[_Plan, _Chunk]],
) -> Iterator[tuple[tuple[_Plan, _Chunk], Callable[[], NDArray[np.generic]]]]:
    """Yield each chunk with what computes its vectors; while it does, the next chunk is prepared."""
    waiting: deque[tuple[tuple[_Plan, _Chunk], Future[Callable[[], NDArray[np.generic]]]]] = deque()
    with ThreadPoolExecutor(1) as pool:
        for item in missing:
            waiting.append((item, pool.submit(_prepare, item[1])))
            if len(waiting) > 1:
                ready, prepared = waiting.popleft()
                yield ready, prepared.result()
        for ready, prepared in waiting:
            yield ready, prepared.result()


def _prepare(chunk: _Chunk) -> Callable[[], NDArray[np.generic]]:
    if members.prepares_texts(chunk.encoder):
        return chunk.encoder.prepare_texts(chunk.texts, chunk.role)
    return partial(chunk.encoder.encode, chunk.texts, chunk.role)


def _encode(chunk: _Chunk) -> Vectors:
    return _checked(chunk, np.asarray(chunk.encoder.encode(chunk.texts, chunk.role)))


def _checked(chunk: _Chunk, answer: NDArray[np.generic]) -> Vectors:
    """Return what an encoder gave for a chunk as float32; raises `RetrieverError` where it cannot be scored."""
    expected = (len(chunk.texts), chunk.encoder.dim)
    if answer.shape != expected or not np.issubdtype(answer.dtype, np.floating):
        raise RetrieverError(
            f"the encoder gave {answer.dtype} {answer.shape} for {len(chunk.texts)} texts: "
            f"it must give floating-point numbers of shape {expected}"
        )
    # A float64 beyond the range of float32 becomes infinite, and is told as such below.
    with np.errstate(over="ignore"):
        vectors = answer.astype(np.float32)
    _check_rows(np.logical_not(np.isfinite(vectors).all(axis=1)), "NaN or infinite numbers", chunk)
    _check_rows(np.logical_not(vectors.any(axis=1)), "only zeros", chunk)
    return vectors


def _check_rows(faulty: NDArray[np.bool_], fault: str, chunk: _Chunk) -> None:
    if faulty.any():
        first = chunk.texts[int(faulty.argmax())]
        text = str(first.path) if isinstance(first, Image) else repr(first)
        text = text if len(text) <= 80 else text[:76] + " ..."
        others = f" and {faulty.sum() - 1} more" if faulty.sum() > 1 else ""
        raise RetrieverError(f"the encoder gives {fault} for the {chunk.role} {text}{others}")


def _check_not_constant(plans: list[_Plan], matrices: list[Vectors]) -> None:
    if len({text for plan in plans for text in plan.rows}) < 2:
        return
    first = next(matrix[0] for matrix in matrices if len(matrix))
    # Block by block, as the first one that differs is nearly always the first of all.
    blocks = (matrix[start : start + CHUNK] for matrix in matrices for start in range(0, len(matrix), CHUNK))
    if all((block == first).all() for block in blocks):
        raise RetrieverError("the model gives every text the same vector: check its weights and its pooling")
