"""Training rows made ready once: texts in memory-mapped Arrow, all else in memory-mapped arrays."""

import json
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from hashlib import blake2b, sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.records import Image
from mlbench.errors import DataError
from mlbench.io.cache import kept_folder
from mlbench.protocols import SILENCE, Progress
from mlbench.training.index import ABSENT, Ints, RowIndex
from mlbench.training.ngrams import normalise
from mlbench.training.sources import DataSource, TrainingRow, read_rows

if TYPE_CHECKING:
    import datasets


_FORMAT = "2"
_ABOUT = "about.json"
_IMAGES = "images.json"
_TEXTS = "texts.arrow"
_BLOCK_TEXTS = 10_000
Pattern = tuple[tuple[str, ...], tuple[str, ...], bool]


@dataclass(frozen=True, eq=False)
class DatasetRows:
    """The rows of one data set: an index in the order of `languages`, and the texts, which stay on disk.

    `content` is the SHA-256 (hex) of what the rows say, in their order. `source` is where they were read from. `images`
    are those that stand among the texts.
    """

    name: str
    languages: tuple[str, ...]
    index: RowIndex
    content: str
    folder: Path
    texts: "datasets.Dataset" = field(repr=False)
    source: DataSource = field(repr=False)
    images: Mapping[str, Image] = field(default_factory=dict, repr=False)

    def read(self, numbers: Ints) -> list[str]:
        """Return the texts with these numbers, some of them `Image`s, in their order; no numbers give no texts."""
        found: list[str] = self.texts[numbers.tolist()]["text"] if len(numbers) else []
        return [self.images.get(text, text) for text in found] if self.images else list(found)


def prepare(source: DataSource, progress: Progress = SILENCE) -> DatasetRows:
    """Return the rows of a source, memory-mapped; they are read and made ready once, and kept in the cache folder.

    Rows without a query or without a document are left out. Raises `DataError` for rows that cannot be used, and where
    there are none.
    """
    name = f"{source.data.name}-{source.fingerprint[:16]}-{_FORMAT}"
    folder = kept_folder(name, lambda unfinished: _write(source, unfinished, progress), last=_ABOUT)
    return _open(source, folder)


def _open(source: DataSource, folder: Path) -> DatasetRows:
    import datasets

    about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    # Plain views of the mapped files: numpy's own class for them is slow where little is read.
    arrays = {each.name: np.asarray(np.load(folder / f"{each.name}.npy", mmap_mode="r")) for each in fields(RowIndex)}
    texts = datasets.Dataset.from_file(str(folder / _TEXTS))
    images = {}
    if source.folder is not None:
        places = json.loads((folder / _IMAGES).read_text(encoding="utf-8"))
        found = [Image(text.removeprefix("sha256:"), source.folder / place) for text, place in places.items()]
        images = {str(image): image for image in found}
    languages, content = tuple(about["languages"]), about["content"]
    return DatasetRows(source.data.name, languages, RowIndex(**arrays), content, folder, texts, source, images)


def _write(source: DataSource, folder: Path, progress: Progress) -> None:
    from datasets import Features, Value
    from datasets.arrow_writer import ArrowWriter

    collected, images = _RowNumbers(), dict[str, Path]()
    # How many there are is not known before they are read.
    progress.start(f"prepare {source.data.name}", 0)
    with ArrowWriter(path=str(folder / _TEXTS), features=Features({"text": Value("large_string")})) as writer:
        for texts in collected.blocks(read_rows(source, progress)):
            images |= {text: text.path for text in texts if isinstance(text, Image)}
            writer.write_batch({"text": [str(text) for text in texts]})
            progress.advance(len(texts))
        if not collected.patterns:
            raise DataError(f"{source.data.name}: no row has a query and a document")
        writer.finalize()
    progress.finish()
    for name, values in collected.arrays().items():
        np.save(folder / f"{name}.npy", values)
    if source.folder is not None:
        # Told from the data's folder, which may be moved.
        places = {text: os.path.relpath(path, source.folder) for text, path in images.items()}
        (folder / _IMAGES).write_text(json.dumps(places), encoding="utf-8")
    about = {"languages": collected.languages(), "content": collected.content.hexdigest()}
    (folder / _ABOUT).write_text(json.dumps(about), encoding="utf-8")


class _RowNumbers:
    """What is kept of rows while their texts stream by: numbers only."""

    def __init__(self) -> None:
        self.patterns: dict[Pattern, int] = {}
        self.content = sha256()
        self._pattern = array("i")
        self._first_text = array("q")
        self._topics = array("q")
        self._queries = _Keys()
        self._documents = _Keys()
        self._negatives = _Keys()
        self._negative_texts = array("q")
        self._negative_tags = array("i")
        self._tags: dict[str, int] = {}
        self._texts = 0

    def blocks(self, rows: Iterable[TrainingRow]) -> Iterator[list[str]]:
        """Yield the texts of the rows in blocks to be written, and keep what is known of them."""
        block: list[str] = []
        for row in rows:
            if row.queries and row.documents:
                try:
                    block += self._add(row)
                except UnicodeEncodeError as error:
                    raise DataError(f"{row.place}: a text holds half a character: \\ud800 to \\udfff") from error
            if len(block) >= _BLOCK_TEXTS:
                yield block
                block = []
        if block:
            yield block

    def _add(self, row: TrainingRow) -> list[str]:
        topic = f"row {len(self._pattern)}" if row.topic is None else row.topic
        pattern = (tuple(row.queries), tuple(row.documents), row.is_text)
        tags, negatives = [tag for tag, _ in row.negatives], [text for _, text in row.negatives]
        texts = [*row.queries.values(), *(() if row.is_text else row.documents.values())]
        queries = [_key(normalise(text)) for text in row.queries.values()]
        self._pattern.append(self.patterns.setdefault(pattern, len(self.patterns)))
        self._first_text.append(self._texts)
        self._topics.append(_key(topic))
        self._queries.add(queries)
        self._documents.add(queries if row.is_text else [_key(normalise(text)) for text in row.documents.values()])
        self._negatives.add([_key(normalise(text)) for text in negatives])
        self._negative_texts.extend(range(self._texts + len(texts), self._texts + len(texts) + len(negatives)))
        self._negative_tags.extend(self._tags.setdefault(tag, len(self._tags)) for tag in tags)
        texts += negatives
        self.content.update(json.dumps([topic, pattern, tags, texts]).encode())
        self._texts += len(texts)
        return texts

    def languages(self) -> tuple[str, ...]:
        """Return the sorted languages of all queries, documents and negatives."""
        of_rows = {tag for queries, documents, _ in self.patterns for tag in queries + documents}
        return tuple(sorted(of_rows | self._tags.keys()))

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """Return the arrays of the `RowIndex`."""
        languages = {tag: number for number, tag in enumerate(self.languages())}
        places = np.full((2, len(self.patterns), len(languages)), ABSENT, np.int32)
        for (queries, documents, is_text), number in self.patterns.items():
            offset = 0 if is_text else len(queries)
            for place, tag in enumerate(queries):
                places[0, number, languages[tag]] = place
            for place, tag in enumerate(documents):
                places[1, number, languages[tag]] = offset + place
        document_group, groups = self._documents.groups()
        of_negatives = np.array([languages[tag] for tag in self._tags], np.int32)
        return {
            "query_places": places[0],
            "document_places": places[1],
            "is_text": np.array([is_text for _, _, is_text in self.patterns], bool),
            "pattern": np.array(self._pattern, np.int32),
            "topic": np.unique(np.array(self._topics, np.int64), return_inverse=True)[1].astype(np.int32),
            "query_group": self._queries.groups()[0],
            "document_group": document_group,
            "first_text": np.array(self._first_text, np.int64),
            "first_negative": self._negatives.starts(),
            "negative_texts": np.array(self._negative_texts, np.int64),
            "negative_languages": of_negatives[np.array(self._negative_tags, np.int32)],
            "negative_groups": groups.of(self._negatives.keys()),
        }


@dataclass(frozen=True, eq=False)
class _Groups:
    """The group of each key that was met: `known` sorted."""

    known: Ints
    numbers: NDArray[np.int32]

    def of(self, keys: Ints) -> NDArray[np.int32]:
        """Return the groups of keys, `ABSENT` for those that were not met, int32 (n,)."""
        place = np.minimum(np.searchsorted(self.known, keys), len(self.known) - 1)
        return np.where(self.known[place] == keys, self.numbers[place], ABSENT).astype(np.int32)


class _Keys:
    """Keys of texts, some for each row."""

    def __init__(self) -> None:
        self._keys = array("q")
        self._ends = array("q")

    def add(self, keys: Sequence[int]) -> None:
        """Add the keys of the next row."""
        self._keys.extend(keys)
        self._ends.append(len(self._keys))

    def keys(self) -> Ints:
        """Return all keys, int64 (n,); no more can be added then."""
        return np.frombuffer(self._keys, np.int64)

    def starts(self) -> Ints:
        """Return where the keys of each row begin, int64 (rows + 1,)."""
        return np.concatenate([np.zeros(1, np.int64), np.array(self._ends, np.int64)])

    def groups(self) -> tuple[NDArray[np.int32], _Groups]:
        """Return the group of each row, int32 (rows,), and of each key: rows with a key in common share a group.

        Groups are numbered in the order of their first row.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        starts = self.starts()
        n_rows = len(starts) - 1
        order = np.argsort(self.keys(), kind="stable")
        keys = self.keys()[order]
        row = np.repeat(np.arange(n_rows, dtype=np.int32), np.diff(starts))[order]
        first = np.append(True, keys[1:] != keys[:-1])
        # A chain of the rows with a key links them as well as every pair of them would.
        links = row[:-1][~first[1:]], row[1:][~first[1:]]
        graph = coo_array((np.ones(len(links[0]), np.int8), links), shape=(n_rows, n_rows))
        _, label = connected_components(graph, directed=False)
        _, first_row, group = np.unique(label, return_index=True, return_inverse=True)
        numbers = np.argsort(np.argsort(first_row)).astype(np.int32)[group]
        return numbers, _Groups(keys[first], numbers[row[first]])


def _key(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)
